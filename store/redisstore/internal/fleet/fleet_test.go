//go:build unix

package fleet

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/internal/testproc"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// waitLimit is the timeout for events that should occur sooner. After a failure, some
// occur with the next look at the store, within a minute.
const waitLimit = 3 * time.Minute

// newKey is the key of all channels here.
var newKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, assertion.KeyBits) })

// fleet is processes that share a store, and the emulator.
type fleet struct {
	t         *testing.T
	line      *lineoauthtest.Server
	settings  settings
	ahead     time.Duration
	newest    string // token at the time of the last refresh
	processes []*member

	asked atomic.Int32                  // how often for a token
	held  atomic.Pointer[chan struct{}] // what the answers wait for
}

// newFleet has no processes yet. In the settings is the store.
func newFleet(t *testing.T, store settings) *fleet {
	t.Helper()
	line := lineoauthtest.NewUnstartedServer()
	t.Cleanup(line.Close)
	f := &fleet{t: t, line: line}
	front := httptest.NewServer(f)
	t.Cleanup(front.Close)
	private, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := assertion.PublicJWK(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	channel := line.Channel()
	store.KeyID, err = channel.RegisterKey("", public)
	if err != nil {
		t.Fatal(err)
	}
	store.BaseURL, store.ChannelID = front.URL, channel.ID
	store.PrivateKey = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	f.settings = store
	return f
}

// member is one process.
type member struct {
	t       *testing.T
	set     settings
	command *exec.Cmd
	stdin   io.WriteCloser
	ended   chan struct{} // once its output has

	mu          sync.Mutex
	ready       bool
	issuing     bool      // since the last refresh
	refreshed   int       // with tokens of its own
	keyIDs      []string  // in the order in which it had them
	since       time.Time // when it had the last of them
	gaps        []string
	storeFailed []string
	asked       int
	calls       int           // of its store
	took        time.Duration // until its first token
	stderr      bytes.Buffer
}

// start starts processes, which begin together.
func (f *fleet) start(n int) []*member {
	f.t.Helper()
	started := make([]*member, n)
	for i := range started {
		started[i] = f.launch()
	}
	for _, m := range started {
		f.eventually("a process does not start", func() bool { return m.is(func() bool { return m.ready }) })
	}
	for _, m := range started {
		m.send(order{f.ahead})
	}
	f.processes = append(f.processes, started...)
	return started
}

func (f *fleet) launch() *member {
	f.t.Helper()
	m := &member{t: f.t, command: testproc.Command(f.t, os.Args[0]), set: f.settings, ended: make(chan struct{})}
	// The race detector would sleep for a second at each end.
	m.command.Env = append(os.Environ(), asProcess+"=1", "GORACE=atexit_sleep_ms=0")
	m.command.Stderr = &m.stderr
	stdin, err := m.command.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	m.stdin = stdin
	stdout, err := m.command.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := m.command.Start(); err != nil {
		f.t.Fatal(err)
	}
	go m.read(stdout)
	f.t.Cleanup(m.end)
	m.send(f.settings)
	return m
}

func (m *member) send(line any) {
	m.t.Helper()
	if err := json.NewEncoder(m.stdin).Encode(line); err != nil {
		m.t.Errorf("a process is gone: %v", err)
	}
}

func (m *member) read(stdout io.Reader) {
	defer close(m.ended)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var r report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			m.t.Errorf("a process reports %q", lines.Text())
			return
		}
		m.mu.Lock()
		m.ready = m.ready || r.Ready
		m.asked += r.Asked
		m.issuing = m.issuing || r.Issuing
		if r.Refreshed {
			m.refreshed++
		}
		if r.KeyID != "" {
			m.keyIDs, m.since = append(m.keyIDs, r.KeyID), time.Now()
		}
		m.calls = max(m.calls, r.Calls)
		m.took = max(m.took, r.Took)
		if r.Gap != "" {
			m.gaps = append(m.gaps, r.Gap)
		}
		if r.StoreFailed != "" {
			m.storeFailed = append(m.storeFailed, r.StoreFailed)
		}
		m.mu.Unlock()
	}
}

// end ends a process and says what was wrong with it.
func (m *member) end() {
	if m.command.ProcessState != nil {
		return
	}
	_ = m.stdin.Close()
	late := time.AfterFunc(waitLimit, func() { _ = m.command.Process.Kill() })
	defer late.Stop()
	<-m.ended
	if err := m.command.Wait(); err != nil {
		m.t.Errorf("a process ended with %v:\n%s", err, m.stderr.Bytes())
	}
	if gaps := m.gaps; len(gaps) > 0 && !m.set.Waits && !m.set.Once || slices.Contains(gaps, ended) {
		m.t.Errorf("a process had no valid token %d times, at first: %s", len(gaps), gaps[0])
	}
}

func (m *member) kill() {
	_ = m.command.Process.Kill()
	<-m.ended
	_ = m.command.Wait()
}

func (m *member) signal(signal syscall.Signal) {
	m.t.Helper()
	if err := m.command.Process.Signal(signal); err != nil {
		m.t.Fatal(err)
	}
}

// stop suspends the process. A signal alone returns before the process has stopped, and
// it could still save a token.
func (m *member) stop() {
	m.t.Helper()
	m.signal(syscall.SIGSTOP)
	m.t.Cleanup(func() { _ = m.command.Process.Signal(syscall.SIGCONT) })
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(m.command.Process.Pid, &status, untraced, nil); err != nil || !status.Stopped() {
		m.t.Fatalf("the process did not stop: %v, %v", status, err)
	}
}

// is evaluates a condition on what the process reported.
func (m *member) is(condition func() bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return condition()
}

// has reports whether the process has this token now.
func (m *member) has(keyID string) bool {
	return m.is(func() bool { return len(m.keyIDs) > 0 && m.keyIDs[len(m.keyIDs)-1] == keyID })
}

// eventually waits until a condition holds.
func (f *fleet) eventually(failure string, holds func() bool) {
	f.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(waitLimit); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			f.t.Fatalf("%s (after %v)%s", failure, waitLimit, f.trouble())
		}
	}
}

func (f *fleet) trouble() string {
	var b bytes.Buffer
	for i, m := range f.processes {
		m.mu.Lock()
		fmt.Fprintf(&b, "\nprocess %d: issuing %v, tokens %v, gaps %q, store failed %q, %d calls of the store", i, m.issuing, m.keyIDs, m.gaps, m.storeFailed, m.calls)
		m.mu.Unlock()
	}
	return b.String()
}

// issues counts the requests for a token, as the emulator saw them.
func (f *fleet) issues() int {
	return f.line.State().Calls[lineoauth.OpIssueChannelTokenByJWT]
}

// wantIssues fails the test unless so many tokens were asked for in all.
func (f *fleet) wantIssues(want int, when string) {
	f.t.Helper()
	if n := f.issues(); n != want {
		f.t.Errorf("%d issues %s; want %d%s", n, when, want, f.trouble())
	}
}

// agree waits until all processes have the newest token.
func (f *fleet) agree(when string, processes ...*member) {
	f.t.Helper()
	if processes == nil {
		processes = f.processes
	}
	f.eventually("the processes have not all the newest token "+when, func() bool {
		newest := f.token()
		return newest != "" && !slices.ContainsFunc(processes, func(m *member) bool { return !m.has(newest) })
	})
}

// token is the newest one, by its key ID.
func (f *fleet) token() string {
	tokens := f.line.State().Tokens
	if len(tokens) == 0 {
		return ""
	}
	return tokens[len(tokens)-1].KeyID
}

// due is how far 2 minutes before the newest token expires are away: then all
// processes are to refresh it, and nobody has to wait.
func (f *fleet) due() time.Duration {
	for _, m := range f.processes {
		m.is(func() bool { m.issuing = false; return true })
	}
	f.newest = f.token()
	state := f.line.State()
	return state.Tokens[len(state.Tokens)-1].ExpiresAt.Add(-2 * time.Minute).Sub(state.Now)
}

// refresh moves all clocks on so that all processes are to refresh the token.
func (f *fleet) refresh() {
	f.t.Helper()
	f.advance(f.due())
}

// advance moves all clocks on.
func (f *fleet) advance(by time.Duration) {
	f.t.Helper()
	f.ageStore(by)
	f.advanceOthers(by)
}

// ageStore moves on the clock of the store: what it has becomes older.
func (f *fleet) ageStore(by time.Duration) {
	f.t.Helper()
	if f.settings.Dir != "" {
		entries, _ := filepath.Glob(filepath.Join(f.settings.Dir, "*.json")) // the pattern is right
		for _, path := range entries {
			if info, err := os.Stat(path); err != nil {
				f.t.Fatal(err)
			} else if err := os.Chtimes(path, time.Time{}, info.ModTime().Add(-by)); err != nil {
				f.t.Fatal(err)
			}
		}
		return
	}
	const age = `
for _, key in ipairs(redis.call('KEYS', '*}')) do
	redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
end
return 0`
	f.redis("EVAL", age, 0, by.Milliseconds())
}

// leased reports whether a process in Redis has the lease. Those of files end
// with their processes.
func (f *fleet) leased() bool {
	f.t.Helper()
	if f.settings.Dir != "" {
		return false
	}
	keys, _ := f.redis("KEYS", "*:lease").([]any)
	return len(keys) > 0
}

// redis sends a command to Redis.
func (f *fleet) redis(command ...any) any {
	f.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: f.settings.Redis})
	defer func() { _ = client.Close() }()
	answer, err := client.Do(f.t.Context(), command...).Result()
	if err != nil {
		f.t.Fatal(err)
	}
	return answer
}

// advanceOthers moves on all clocks but the store's.
func (f *fleet) advanceOthers(by time.Duration) {
	f.t.Helper()
	f.line.Advance(by)
	f.ahead += by
	for _, m := range f.processes {
		m.send(order{f.ahead})
	}
}

// refreshed waits until there is a newer token than at the last refresh, and
// all processes have it.
func (f *fleet) refreshed(when string, processes ...*member) {
	f.t.Helper()
	f.eventually("there is no newer token "+when, func() bool { return f.token() != f.newest })
	f.advance(2 * time.Second) // so that processes without notices poll again
	f.agree(when, processes...)
}

// hold lets LINE answer requests for a token only once release is called.
func (f *fleet) hold() (release func()) {
	held := make(chan struct{})
	f.held.Store(&held)
	release = sync.OnceFunc(func() { f.held.Store(nil); close(held) })
	f.t.Cleanup(release)
	return release
}

// ServeHTTP answers as LINE does, also when the client has disconnected.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isIssue(r) {
		body, _ := io.ReadAll(r.Body) // the emulator refuses what is missing
		r.Body = io.NopCloser(bytes.NewReader(body))
		f.asked.Add(1)
		if held := f.held.Load(); held != nil {
			<-*held
		}
	}
	f.line.ServeHTTP(w, r)
}

// ask waits until each process has asked for a token so many times more.
func (f *fleet) ask(n int) {
	f.t.Helper()
	until := make(map[*member]int)
	for _, m := range f.processes {
		m.is(func() bool { until[m] = m.asked + n; return true })
	}
	for _, m := range f.processes {
		f.eventually("a process does not ask for tokens", func() bool { return m.is(func() bool { return m.asked >= until[m] }) })
	}
}

// allNoticed waits until each process has told of a store that fails.
func (f *fleet) allNoticed() {
	f.t.Helper()
	for _, m := range f.processes {
		f.eventually("a process does not tell of the store", func() bool { return m.is(func() bool { return len(m.storeFailed) > 0 }) })
	}
}

// holder waits until LINE is asked for the token that is the n-th, and returns the
// process that did.
func (f *fleet) holder(n int) *member {
	f.t.Helper()
	var holder *member
	f.eventually("no process issues", func() bool {
		if int(f.asked.Load()) < n {
			return false
		}
		for _, m := range f.processes {
			if m.is(func() bool { return m.issuing }) {
				holder = m
			}
		}
		return holder != nil
	})
	return holder
}

// without returns the processes but for one.
func (f *fleet) without(m *member) []*member {
	return slices.DeleteFunc(slices.Clone(f.processes), func(other *member) bool { return other == m })
}
