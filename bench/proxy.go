package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// throughProxy compares "lineoauth proxy" with direct calls on loopback: one push at
// a time, many concurrently, and the memory of its process.
func throughProxy() {
	line := lineoauthtest.NewUnstartedServer()
	defer line.Close()
	stream := make(chan struct{})
	var streams atomic.Int64
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/oauth2/"):
			line.ServeHTTP(w, r)
		case strings.HasSuffix(r.URL.Path, "/content"):
			_, _ = w.Write(make([]byte, 64<<10))
			_ = http.NewResponseController(w).Flush()
			streams.Add(1)
			<-stream
		default:
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"sentMessages":[{"id":"461230966842064897"}]}`)
		}
	}))
	defer upstream.Close()
	url, process := startProxy(upstream.URL, line.Channel())
	defer func() {
		check(process.Signal(os.Interrupt))
		_, _ = process.Wait()
	}()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2000}}
	push := func(base string) time.Duration {
		begin := time.Now()
		rsp, err := client.Post(base+"/v2/bot/message/push", "application/json", strings.NewReader(`{"to":"U4af4980629","messages":[{"type":"text","text":"hello"}]}`))
		check(err)
		_, err = io.Copy(io.Discard, rsp.Body)
		check(err)
		_ = rsp.Body.Close()
		if rsp.StatusCode != http.StatusOK {
			panic(rsp.Status)
		}
		return time.Since(begin)
	}
	bases := []string{upstream.URL, url}
	const calls = 5000
	took := make([][]time.Duration, 2)
	for i := range calls + 200 {
		for b, base := range bases {
			if d := push(base); i >= 200 {
				took[b] = append(took[b], d)
			}
		}
	}
	idle := resident(process.Pid)
	var rows [][]string
	for b, name := range []string{"direct", "through the proxy"} {
		slices.Sort(took[b])
		rate := func(clients int) string { return fmt.Sprintf("%.0f", pushes(clients, func() { push(bases[b]) })) }
		rows = append(rows, []string{name, µs(took[b][calls/2]), µs(took[b][calls*99/100]), rate(1), rate(64)})
	}
	table(fmt.Sprintf("A push through the proxy, %d in turns with direct ones; and as many as clients can make in 3 s", calls),
		[]string{"", "median", "99th percentile", "per second, 1 client", "64 clients"}, rows)

	var open sync.WaitGroup
	for range 1000 {
		open.Go(func() {
			rsp, err := client.Get(url + "/v2/bot/message/1/content")
			check(err)
			_, _ = io.Copy(io.Discard, rsp.Body)
			_ = rsp.Body.Close()
		})
	}
	for streams.Load() < 1000 {
		time.Sleep(time.Millisecond)
	}
	full := resident(process.Pid)
	close(stream)
	open.Wait()
	table("Memory of its process", []string{"", "resident"}, [][]string{
		{"after these calls", idle}, {"with 1,000 downloads under way", full},
	})
}

func µs(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }

// pushes returns how many calls clients make per second.
func pushes(clients int, push func()) float64 {
	const span = 3 * time.Second
	begin := time.Now()
	var made atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for time.Since(begin) < span {
				push()
				made.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(made.Load()) / time.Since(begin).Seconds()
}

// startProxy builds and starts a proxy.
func startProxy(baseURL string, channel *lineoauthtest.Channel) (url string, _ *os.Process) {
	dir, err := os.MkdirTemp("", "lineoauth-bench-")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "lineoauth")
	build := exec.Command("go", "build", "-o", binary, "./cmd/lineoauth") //nolint:gosec // our own source
	build.Dir, build.Stderr = "..", os.Stderr
	check(build.Run())
	cmd := exec.Command(binary, "proxy", "--listen", "0") //nolint:gosec // built above
	cmd.Env = append(os.Environ(), "LINE_OAUTH_BASE_URL="+baseURL, "LINE_CHANNEL_ID="+channel.ID, "LINE_CHANNEL_SECRET="+channel.Secret)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(err)
	check(cmd.Start())
	ready, err := bufio.NewReader(out).ReadBytes('\n')
	check(err)
	var where struct{ URL string }
	check(json.Unmarshal(ready, &where))
	return where.URL, cmd.Process
}

// resident returns the resident memory of a process.
func resident(pid int) string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "–"
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes := 0
	_, err = fmt.Sscan(rest, &kilobytes)
	check(err)
	return fmt.Sprintf("%.0f MB", float64(kilobytes)/1024)
}
