// Command bench measures lineoauth against its peers in one run and prints the
// tables of docs/benchmarks.md.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

func main() {
	testing.Init()
	fmt.Printf("Measured on %s, %d cores, %s, with", cpu(), runtime.NumCPU(), runtime.Version())
	sep := " "
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if slices.Contains([]string{"golang.org/x/oauth2", "cloud.google.com/go/auth", "github.com/aws/aws-sdk-go-v2", "github.com/line/line-bot-sdk-go/v8"}, dep.Path) {
				fmt.Printf("%s%s %s", sep, dep.Path, dep.Version)
				sep = ", "
			}
		}
	}
	fmt.Println(".")
	for _, m := range measurements {
		if len(os.Args) == 1 || slices.Contains(os.Args[1:], m.name) {
			m.measure()
		}
	}
}

// measurements to run can be named on the command line; by default all run.
var measurements = []struct {
	name    string
	measure func()
}{
	{"warm", warm},
	{"stores", stores},
	{"refreshes", refreshes},
	{"outage", outage},
	{"beyond", beyond},
	{"processes", processes},
	{"cold", cold},
	{"deadline", deadline},
	{"assertions", assertions},
	{"issuing", issuing},
	{"requests", requests},
	{"proxy", throughProxy},
	{"start", start},
}

func cpu() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// table prints a Markdown table.
func table(title string, header []string, rows [][]string) {
	fmt.Printf("\n## %s\n\n| %s |\n|%s\n", title, strings.Join(header, " | "), strings.Repeat("---|", len(header)))
	for _, row := range rows {
		fmt.Printf("| %s |\n", strings.Join(row, " | "))
	}
}

// best runs a benchmark several times and returns the fastest run, which other load
// has affected least.
func best(f func(b *testing.B)) testing.BenchmarkResult {
	var fastest testing.BenchmarkResult
	for range 5 {
		r := testing.Benchmark(f)
		if fastest.N == 0 || perOp(r) < perOp(fastest) {
			fastest = r
		}
	}
	return fastest
}

func perOp(r testing.BenchmarkResult) float64 { return float64(r.T.Nanoseconds()) / float64(r.N) }
