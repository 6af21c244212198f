//go:build unix

// Package redisserver runs real Redis servers for tests.
package redisserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lineoauth/lineoauth/internal/testproc"
)

// Server is a redis-server process. It is stopped when its test ends.
type Server struct {
	// Addr is its address on loopback, Port the port in it.
	Addr string
	Port int

	t       testing.TB
	path    string // of redis-server
	args    []string
	dir     string
	process *os.Process
	exited  chan struct{}
}

// Start starts a server on a free port, with further lines of redis.conf. It
// skips the test where redis-server is not installed, or fails it when
// LINEOAUTH_NEED_TOOLS is set.
func Start(t testing.TB, config ...string) *Server {
	t.Helper()
	return start(t, nil, config)
}

// StartSentinel starts a Sentinel.
func StartSentinel(t testing.TB, config ...string) *Server {
	t.Helper()
	return start(t, []string{"--sentinel"}, config)
}

func start(t testing.TB, args, config []string) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("LINEOAUTH_NEED_TOOLS") == "" {
		t.Skip("redis-server is not installed")
	} else if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, path: path, args: args}
	t.Cleanup(s.Kill)
	for range 5 {
		s.Port, s.dir = freePort(t), t.TempDir()
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
		lines := append([]string{fmt.Sprintf("port %d", s.Port), "bind 127.0.0.1", "dir " + s.dir, "daemonize no"}, config...)
		if err := os.WriteFile(s.config(), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err = s.run(); err == nil {
			return s
		}
		s.Kill() // another process may have been faster to take the port
	}
	t.Fatal(err)
	return nil
}

func (s *Server) config() string { return filepath.Join(s.dir, "redis.conf") }

// freePort returns a free port for which port+10000, the cluster bus, is free, too.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port+10000 <= 65535 {
			return port
		}
	}
	t.Fatal("no free port below 55536")
	return 0
}

// run starts the server and waits until it answers.
func (s *Server) run() error {
	command := testproc.Command(s.t, s.path, append([]string{s.config()}, s.args...)...)
	if err := command.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = command.Wait()
	}()
	s.process, s.exited = command.Process, exited
	client := s.Client()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		info, err := client.Info(ctx, "server").Result()
		cancel()
		if err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r", command.Process.Pid)) {
			return nil
		}
		select {
		case <-exited:
			return errors.New("redis-server exited immediately")
		case <-tick.C:
		}
	}
	return fmt.Errorf("redis-server does not answer at %s", s.Addr)
}

// Client returns a client, which the test closes.
func (s *Server) Client() *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: s.Addr, ContextTimeoutEnabled: true})
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

// Kill kills the server, if it runs.
func (s *Server) Kill() {
	if s.process != nil {
		_ = s.process.Kill()
		<-s.exited
	}
}

// Restart kills the server and starts it again, on the same port, with what it
// has on disk.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.run(); err != nil {
		s.t.Fatal(err)
	}
}

// Stop suspends the server: it keeps its connections, but does not answer.
func (s *Server) Stop() { s.signal(syscall.SIGSTOP) }

// Continue resumes it.
func (s *Server) Continue() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}
