//go:build unix

package deploy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// compose loads files as "docker compose -f … -f …" does, with their schema.
func compose(t *testing.T, files ...string) *types.Project {
	t.Helper()
	for i := range files {
		files[i] = filepath.Join("compose", files[i])
	}
	options, err := cli.NewProjectOptions(files, cli.WithWorkingDirectory("compose"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// Both ways to start it are compose files, whose containers can do little.
func TestCompose(t *testing.T) {
	is := released(t)
	for _, files := range [][]string{{"compose.yaml"}, {"compose.yaml", "compose.emulator.yaml"}} {
		project := compose(t, files...)
		for name, s := range project.Services {
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
				t.Errorf("%v: %s can do more than it needs", files, name)
			}
			if is.is(s.Image) != (name != "bot") || is.is(s.Image) && (s.User != "" || len(s.Entrypoint) > 0) {
				t.Errorf("%v: %s has another user or entrypoint than its image", files, name)
			}
			if name == "bot" && s.User != is.user+":"+is.user {
				t.Errorf("%v: the bot and the proxy read the same secret, but the bot is %s", files, s.User)
			}
			for _, secret := range s.Secrets {
				if got := s.Environment["LINE_CHANNEL_SECRET_FILE"]; got == nil || *got != "/run/secrets/"+secret.Source {
					t.Errorf("%v: %s has no use for %s", files, name, secret.Source)
				}
			}
		}
		for name, secret := range project.Secrets {
			if want := name + map[int]string{1: "", 2: ".emulator"}[len(files)]; filepath.Base(secret.File) != want {
				t.Errorf("%v: %s is from %s", files, name, secret.File)
			}
		}
	}
	if proxy := compose(t, "compose.yaml").Services["proxy"]; proxy.Environment["LINE_OAUTH_BASE_URL"] != nil || proxy.Environment["LINE_OAUTH_ALLOW_PLAIN_HTTP"] != nil {
		t.Error("without the emulator, the proxy does not go to LINE")
	}
}

// The emulator, the proxy and the bot run with their commands and environments, in a
// network that knows them by their names.
func TestComposeRuns(t *testing.T) {
	python := needTool(t, "python3")
	project := compose(t, "compose.yaml", "compose.emulator.yaml")
	w := &world{T: t, ports: map[string]string{}, mounts: map[string]string{"/app": filepath.Join("compose")}}
	secret := strings.TrimSpace(read(t, project.Secrets["channel-secret"].File))
	w.mount("/run/secrets", map[string]string{"channel-secret": secret + "\n"})
	names := &network{hosts: map[string]string{}}
	server := httptest.NewServer(names)
	defer server.Close()
	env := func(s types.ServiceConfig) map[string]string {
		all := map[string]string{"http_proxy": server.URL, "PATH": "/usr/bin:/bin"}
		for name, value := range s.Environment {
			all[name] = *value
		}
		return all
	}
	is := released(t)
	run := func(name, listens string) *process {
		t.Helper()
		s := project.Services[name]
		argv := slices.Concat([]string{is.program()}, s.Command)
		if name == "bot" {
			argv = slices.Clone(s.Command)
			argv[0] = python
		}
		return w.start(argv, env(s), listens)
	}
	for _, name := range []string{"emulator", "proxy"} {
		port := map[string]string{"emulator": "8080", "proxy": "8081"}[name]
		w.ports[port] = freePort(t)
		p := run(name, "")
		defer p.stop()
		names.hosts[name+":"+port] = "127.0.0.1:" + w.ports[port]
		clear(w.ports) // a name's port stays as it is
	}
	w.ports["8080"] = freePort(t)
	address := "127.0.0.1:" + w.ports["8080"]
	bot := run("bot", address)
	defer bot.stop()

	if got := w.webhook("http://"+address, "wrong"); got != http.StatusBadRequest {
		t.Errorf("a webhook that LINE did not sign is answered with %d", got)
	}
	if got := w.webhook("http://"+address, secret); got != http.StatusOK {
		t.Errorf("a webhook is answered with %d\n%s", got, bot.stderr.String())
	}
	check := project.Services["bot"].HealthCheck.Test
	if check[0] != "CMD" {
		t.Fatal(check)
	}
	if out, err := command(t, env(project.Services["bot"]), append([]string{python}, check[2:]...)...); err != nil {
		t.Errorf("the health check fails: %v\n%s", err, out)
	}
	rsp, err := http.Get("http://" + names.hosts["emulator:8080"] + "/_emulator/state")
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	var state lineoauthtest.State
	if err := json.NewDecoder(rsp.Body).Decode(&state); err != nil {
		t.Fatal(err)
	}
	if len(state.Messages) != 1 || state.Messages[0].To != "r1" {
		t.Errorf("the bot sent %+v", state.Messages)
	}
	// The port that the bot has outside is where it listens.
	if p := project.Services["bot"].Ports[0]; fmt.Sprint(p.Target) != "8080" || p.HostIP != "127.0.0.1" {
		t.Errorf("%+v", p)
	}
}

// A network leads requests for the names of services to where they are.
type network struct{ hosts map[string]string }

func (n *network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to, ok := n.hosts[r.URL.Host]
	if !ok {
		http.Error(w, "there is no "+r.URL.Host, http.StatusBadGateway)
		return
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: to})
		r.Out.Host = r.In.Host
	}}
	proxy.ServeHTTP(w, r)
}
