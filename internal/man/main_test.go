package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth/internal/cli"
)

func TestPages(t *testing.T) {
	first, second := t.TempDir(), filepath.Join(t.TempDir(), "new", "folder")
	for _, dir := range []string{first, second} {
		if err := write([]string{dir}, "1790000000"); err != nil {
			t.Fatal(err)
		}
	}
	var check func(cmd *cobra.Command)
	pages := 0
	check = func(cmd *cobra.Command) {
		pages++
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		page, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		again, err := os.ReadFile(filepath.Join(second, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != string(page) {
			t.Errorf("%s differs between two runs", name)
		}
		for _, want := range []string{"Sep 2026", ".SH EXAMPLE"} {
			if !strings.Contains(string(page), want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
		if strings.Contains(string(page), "=0s") {
			t.Errorf("%s shows a default of 0s, which is not valid", name)
		}
		for _, child := range cmd.Commands() {
			check(child)
		}
	}
	check(cli.Command())
	if files, err := os.ReadDir(first); err != nil || len(files) != pages {
		t.Errorf("%d pages for %d commands, %v", len(files), pages, err)
	}
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		epoch string
		want  string
	}{
		{nil, "1790000000", "folder"},
		{[]string{t.TempDir()}, "", "SOURCE_DATE_EPOCH"},
	} {
		if err := write(tt.args, tt.epoch); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("write(%q, %q): %v; want %q in it", tt.args, tt.epoch, err, tt.want)
		}
	}
}
