//go:build unix

package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// The line of the crontab runs, with what cron gives it: runs share a token, one that
// LINE refuses is replaced, and without LINE nothing is sent, and cron hears of it.
func TestCron(t *testing.T) {
	needTool(t, "curl")
	w := newWorld(t, "secret")
	key := w.registerKey()
	folder := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	crontab := read(t, "cron/crontab")
	line := regexp.MustCompile(`(?m)^(?:[\d*/,-]+ ){5}([a-z][\w-]*) (.+)$`).FindStringSubmatch(crontab)
	if line == nil || line[2] != "/usr/local/bin/broadcast.sh" || strings.Contains(crontab, "%") {
		t.Fatalf("%q", line)
	}
	env := map[string]string{"SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", "HOME": folder, "LOGNAME": line[1]} // cron's own
	for _, setting := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(crontab, -1) {
		env[setting[1]] = setting[2]
	}
	if !strings.HasPrefix(env["PATH"], filepath.Dir(line[2])+":") || !strings.HasSuffix(env["PATH"], ":/usr/bin:/bin") {
		t.Errorf("with PATH=%s, a lineoauth beside the script or of a package is not found", env["PATH"])
	}
	env["PATH"] = bin + ":" + env["PATH"]
	for name, value := range map[string]string{
		"LINE_OAUTH_BASE_URL":   w.line.URL,
		"LINE_KEY_ID":           w.line.State().Channels[0].KeyIDs[0],
		"LINE_PRIVATE_KEY_FILE": write("key", key),
		"LINE_STORE":            filepath.Join(folder, "store"),
		"LINE_MESSAGE":          write("message", `{"messages":[{"type":"text","text":"good morning"}]}`),
	} {
		if env[name] == "" && name != "LINE_OAUTH_BASE_URL" {
			t.Errorf("the crontab does not set %s", name)
		}
		env[name] = value
	}
	script, err := filepath.Abs("cron/broadcast.sh")
	if err != nil {
		t.Fatal(err)
	}
	run := func() (string, error) { return command(t, env, env["SHELL"], "-c", script) }
	for i := range 2 {
		if out, err := run(); err != nil || out != "" {
			t.Errorf("%v: %s", err, out)
		}
		w.sent(i+1, lineoauth.OpIssueChannelTokenByJWT, 1)
	}

	text, err := command(t, env, filepath.Join(bin, "lineoauth"), "token", "--type", "v2.1", "--store", env["LINE_STORE"], "-o", "token")
	if err != nil {
		t.Fatal(text, err)
	}
	if !w.channel.RevokeToken(strings.TrimSpace(text)) {
		t.Error("it is not a token")
	}
	if out, err := run(); err != nil || out != "" {
		t.Errorf("with a token that was revoked: %v: %s", err, out)
	}
	w.sent(3, lineoauth.OpIssueChannelTokenByJWT, 2)

	w.line.Inject(lineoauthtest.Fault{Kind: lineoauthtest.ServerError, Operation: lineoauthtest.OpBroadcast})
	if out, err := run(); err == nil || !strings.HasPrefix(out, "LINE answered 500: ") {
		t.Errorf("LINE fails, and cron hears %q, %v", out, err)
	}
	w.line.Close()
	if err := os.RemoveAll(env["LINE_STORE"]); err != nil {
		t.Fatal(err)
	}
	if out, err := run(); err == nil || !strings.HasPrefix(out, "lineoauth: ") || strings.Contains(out, "curl") {
		t.Errorf("without LINE, cron hears %q, %v", out, err)
	}
	if left, err := filepath.Glob(filepath.Join("/tmp", "lineoauth-cron.*")); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}
