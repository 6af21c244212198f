package cli

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/proxy"
)

// proxyGrace is how long the shutdown waits for active requests: docker stop kills
// the process after 10 seconds.
const proxyGrace = 9 * time.Second

func (a *app) proxyCommand() *cobra.Command {
	var listen string
	var hosts []string
	var logs bool
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Run a reverse proxy that adds a valid token to Messaging API requests",
		Long: `Run a reverse proxy for LINE's Messaging API in the foreground, until SIGINT or
SIGTERM. It sets a valid token on every request, in place of any other, and forwards
the request to the LINE host that serves the path. A bot in any language then needs
no token of its own: use the proxy as the base URL of LINE's SDK, with any token.
Once the proxy listens, it prints its address as one line of JSON.

It listens only on loopback or on a Unix socket of this user, unless --allow-host
lists the host names that other machines may use. Requests with any other Host, or
with an Origin (those of web pages), are refused.

GET /_proxy/health answers 200 while there is a valid token, else 503; GET
/_proxy/metrics is for Prometheus. v2.1 and short-lived tokens are shared by a store,
as "lineoauth token" does; stateless tokens are if --store is given. A secret or key
that is replaced in its file is used from the next token on. On SIGTERM it finishes
the requests that are under way, and ends within 10 seconds.`,
		Example: `  # for a bot with the base URL http://127.0.0.1:8081
  lineoauth proxy --listen 127.0.0.1:8081 --log

  # only for programs of this user
  lineoauth proxy --listen unix:line.sock`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	wanted := newTokenFlags(cmd, "")
	stored := newStoreFlag(cmd, "`directory` of the shared token "+defaultStore)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8081", "`address` to listen on: PORT, :PORT, HOST:PORT or unix:PATH; port 0 chooses a free one")
	cmd.Flags().StringSliceVar(&hosts, "allow-host", nil, "host `name` that clients may use (repeatable)")
	cmd.Flags().BoolVar(&logs, "log", false, "log each request to standard error, as a line of JSON")
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		if err := wanted.check(); err != nil {
			return err
		}
		if err := checkHosts(hosts); err != nil {
			return err
		}
		cfg := proxy.Config{Hosts: hosts, Transport: proxy.NewTransport()}
		if logs {
			cfg.Log = a.stderr
		}
		source, err := a.proxySource(flags, wanted, stored, &cfg)
		if err != nil {
			return err
		}
		defer source.Close()
		cfg.Source = source
		p, err := proxy.New(cfg)
		if err != nil {
			return err
		}
		return a.serveProxy(ctx, p, listen, len(hosts) > 0)
	})
	return cmd
}

// proxySource returns the source of the proxy's tokens, and sets the matching base
// URL and clock in cfg.
func (a *app) proxySource(flags *clientFlags, wanted *tokenFlags, stored *storeFlag, cfg *proxy.Config) (*lineoauth.Source, error) {
	var line lineoauth.Config
	client, err := a.client(flags, func(c *lineoauth.Config) {
		cfg.BaseURL = c.BaseURL
		c.Transport = cfg.Transport
		c.OnEvent = (&changes{app: a}).note
		line = *c
	})
	if err != nil {
		return nil, err
	}
	settings := lineoauth.SourceConfig{Kind: wanted.kind, ValidFor: wanted.lifetime()}
	if stored.given() || wanted.kind != lineoauth.Stateless {
		store, err := stored.open()
		if err != nil {
			return nil, err
		}
		settings.Store = store
	}
	if settings.Kind == lineoauth.ShortLived && line.ChannelSecret.IsZero() && line.Key != nil {
		settings.Kind = lineoauth.V21 // as a client without Credentials issues
	}
	source, err := client.Source(settings) // which says what is missing now
	if err != nil || line.ChannelSecret.IsZero() && line.Key == nil {
		return source, err
	}
	_ = source.Close()
	line.Credentials = lineoauth.CredentialsFromEnv(flags.setting(a.getenv))
	if client, err = lineoauth.New(line); err != nil {
		return nil, err
	}
	return client.Source(settings)
}

func (a *app) serveProxy(ctx context.Context, p *proxy.Proxy, listen string, public bool) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second signal kills the process
	var ready proxying
	var l net.Listener
	var err error
	if path, ok := strings.CutPrefix(listen, "unix:"); ok {
		l, err = listenUnix(path)
		ready.Socket = path
	} else {
		l, err = listenTCP(listen, public)
	}
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	if ready.Socket == "" {
		ready.URL = urlOf(l.Addr())
	}
	if err := a.print(ready); err != nil {
		return err
	}
	return p.Serve(ctx, l, proxyGrace)
}

type proxying struct {
	URL    string `json:"url,omitempty"`
	Socket string `json:"socket,omitempty"`
}

// listenTCP listens on loopback, or on any address with --allow-host.
func listenTCP(listen string, public bool) (net.Listener, error) {
	address, err := tcpAddress(listen, "PORT, :PORT, HOST:PORT or unix:PATH, such as 8081 or 127.0.0.1:8081")
	if err != nil {
		return nil, err
	}
	// Resolved first: it must not listen on an unchecked address.
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, usagef("cannot listen: %w; use another --listen", err)
	}
	if !public && !resolved.IP.IsLoopback() {
		return nil, usagef("--listen is not a loopback address; use one such as 127.0.0.1:8081, or list the allowed host names with --allow-host")
	}
	l, err := net.ListenTCP("tcp", resolved)
	if err != nil {
		return nil, usagef("cannot listen: %w; use another --listen", err)
	}
	return l, nil
}

// listenUnix listens on a socket that only this user can access.
func listenUnix(path string) (net.Listener, error) {
	if path == "" {
		return nil, usagef("--listen has no path after unix:; add one")
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	var l net.Listener
	var err error
	privately(func() { l, err = net.Listen("unix", path) })
	if err == nil {
		if err = os.Chmod(path, 0o600); err != nil {
			_ = l.Close()
		}
	}
	if err != nil {
		return nil, usagef("cannot listen: %w; use another --listen", err)
	}
	return l, nil
}

// removeStale removes a socket that no process listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return usagef("--listen: %s already exists and is not a socket; use another path", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
		return usagef("--listen: another process listens on %s; stop it, or use another path", path)
	}
	if !abandoned(err) {
		return usagef("cannot listen: %w; use another --listen", err)
	}
	return os.Remove(path)
}

// checkHosts rejects names that cannot be in a Host header.
func checkHosts(hosts []string) error {
	for _, host := range hosts {
		if host == "" || strings.ContainsAny(host, "/*@ ") || strings.Contains(host, ":") && net.ParseIP(strings.Trim(host, "[]")) == nil {
			return usagef("invalid --allow-host: use a host name without a port, such as bots.internal")
		}
	}
	return nil
}

// changes warns of failures to get a token. Until a success, it repeats none in a row.
type changes struct {
	*app
	mu   sync.Mutex
	last map[lineoauth.EventKind]string
}

func (c *changes) note(e lineoauth.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.Kind {
	case lineoauth.EventStoreFailed, lineoauth.EventRefreshFailed, lineoauth.EventCredentialsFailed:
		said := steady(e.Err)
		if said == c.last[e.Kind] {
			return
		}
		if c.last == nil {
			c.last = make(map[lineoauth.EventKind]string)
		}
		c.last[e.Kind] = said
		c.warn(e.Err)
	case lineoauth.EventIssued, lineoauth.EventRefreshed, lineoauth.EventAdopted, lineoauth.EventCredentialsChanged:
		clear(c.last)
	}
}

// ownPort matches the port of this machine in an error of package net.
var ownPort = regexp.MustCompile(`:\d+->`)

// steady returns the text of an error without what differs between LINE's answers, and
// between connections.
func steady(err error) string {
	text := err.Error()
	if e := new(lineoauth.Error); errors.As(err, &e) {
		same := *e
		same.RequestID, same.RetryAfter, same.Attempts = "", 0, 0
		text = strings.ReplaceAll(text, e.Error(), same.Error())
	}
	return ownPort.ReplaceAllString(text, "->")
}
