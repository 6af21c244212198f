//go:build unix

package deploy

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/testproc"
)

const unit = "systemd/lineoauth-proxy.service"

// settings are the lines of a unit.
func settings(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, line := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(read(t, unit), -1) {
		all[line[1]] = append(all[line[1]], line[2])
	}
	return all
}

func command(t *testing.T, env map[string]string, argv ...string) (string, error) {
	t.Helper()
	cmd := testproc.Command(t, argv[0], argv[1:]...)
	cmd.Env = []string{}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// systemd knows every setting, and finds little that is open.
func TestUnit(t *testing.T) {
	analyze := needTool(t, "systemd-analyze")
	// The program has to be there to be verified.
	copied := filepath.Join(t.TempDir(), filepath.Base(unit))
	text := strings.ReplaceAll(read(t, unit), "/usr/bin/lineoauth", filepath.Join(bin, "lineoauth"))
	if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"PATH": os.Getenv("PATH"), "SYSTEMD_LOG_LEVEL": "warning"}
	if out, err := command(t, env, analyze, "verify", "--man=no", "--recursive-errors=one", copied); err != nil || strings.Contains(out, filepath.Base(unit)) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := command(t, env, analyze, "security", "--no-pager", "--offline=true", "--threshold=15", copied); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The unit's command serves with what systemd gives it, and has the same token after a
// restart.
func TestUnitRuns(t *testing.T) {
	w := newWorld(t, "secret", "8081")
	key := w.registerKey()
	s := settings(t)
	_, credential, _ := strings.Cut(s["LoadCredential"][0], ":")
	if credential != "/etc/lineoauth/private-key.pem" {
		t.Error(credential)
	}
	name, _, _ := strings.Cut(s["LoadCredential"][0], ":")
	w.mount("%d", map[string]string{name: key})
	state := filepath.Join(t.TempDir(), s["StateDirectory"][0])
	mode, err := strconv.ParseUint(s["StateDirectoryMode"][0], 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(state, os.FileMode(mode)); err != nil {
		t.Fatal(err)
	}
	w.mounts["${STATE_DIRECTORY}"] = state
	env := map[string]string{"LINE_OAUTH_BASE_URL": w.line.URL}
	for _, line := range s["Environment"] {
		for _, setting := range strings.Fields(line) {
			name, value, _ := strings.Cut(setting, "=")
			env[name] = value
		}
	}
	if env["LINE_KEY_ID"] != "replace-me" {
		t.Error(env)
	}
	env["LINE_KEY_ID"] = w.line.State().Channels[0].KeyIDs[0]
	argv := strings.Fields(s["ExecStart"][0])
	if argv[0] != released(t).entrypoint { // the packages have it where the image has it
		t.Error(argv)
	}
	argv[0] = released(t).program()
	for i := range 2 {
		proxy := w.start(argv, env, "")
		if got := w.push("http://"+w.here("127.0.0.1:8081"), ""); got != http.StatusOK {
			t.Errorf("a push is answered with %d\n%s", got, proxy.stderr.String())
		}
		w.sent(i+1, lineoauth.OpIssueChannelTokenByJWT, 1)
		proxy.stop()
	}
	// The token serves without LINE's token endpoints, for days.
	w.line.Advance(20 * 24 * time.Hour)
	proxy := w.start(argv, env, "")
	defer proxy.stop()
	if got := w.push("http://"+w.here("127.0.0.1:8081"), ""); got != http.StatusOK {
		t.Errorf("a push is answered with %d\n%s", got, proxy.stderr.String())
	}
	w.sent(3, lineoauth.OpIssueChannelTokenByJWT, 1)

	// What systemd is not to start again is what the program calls wrong.
	env["LINE_CHANNEL_ID"] = ""
	wrong := testproc.Command(t, argv[0], "proxy", "--listen", "0")
	wrong.Env = []string{"LINE_CHANNEL_ID="}
	_ = wrong.Run()
	if got := strconv.Itoa(wrong.ProcessState.ExitCode()); got != s["RestartPreventExitStatus"][0] {
		t.Errorf("a wrong configuration exits with %s", got)
	}
}
