package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// start measures how long the command line takes to start and exit, alternating with
// an empty Go program.
func start() {
	const runs = 100
	dir, err := os.MkdirTemp("", "lineoauth-bench-")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	check(os.WriteFile(filepath.Join(dir, "empty.go"), []byte("package main\n\nfunc main() {}\n"), 0o600))
	build := func(folder, source, binary string) string {
		binary = filepath.Join(dir, binary)
		cmd := exec.Command("go", "build", "-o", binary, source) //nolint:gosec // our own source
		cmd.Dir, cmd.Stderr = folder, os.Stderr
		check(cmd.Run())
		return binary
	}
	programs := [][]string{
		{build(dir, "empty.go", "empty")},
		{build("..", "./cmd/lineoauth", "lineoauth"), "version"},
	}
	took := make([][]time.Duration, len(programs))
	for range runs {
		for i, program := range programs {
			cmd := exec.Command(program[0], program[1:]...) //nolint:gosec // built above
			begin := time.Now()
			check(cmd.Run())
			took[i] = append(took[i], time.Since(begin))
		}
	}
	row := func(name string, took []time.Duration) []string {
		slices.Sort(took)
		ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
		return []string{name, ms(took[0]), ms(took[runs/2]), ms(took[runs*9/10])}
	}
	table(fmt.Sprintf("Start to exit of a process, %d interleaved runs", runs), []string{"", "fastest", "median", "90th percentile"},
		[][]string{row("an empty Go program", took[0]), row("lineoauth version", took[1])})
}
