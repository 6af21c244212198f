package tools_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An action is what GitHub reads of action.yml, as far as it is used there.
type action struct {
	Name, Description, Author string
	Inputs                    map[string]struct{ Description, Default string }
	Outputs                   map[string]struct{ Description, Value string }
	Runs                      struct {
		Using string
		Steps []struct {
			ID, If, Shell, Run string
			Env                map[string]string
		}
	}
}

// A runner runs an action's steps, as GitHub's does.
type runner struct {
	action action
	temp   string
	env    []string // what a job has, and what steps add for those that follow
}

func newRunner(t *testing.T) *runner {
	t.Helper()
	system := map[string]string{"linux": "Linux", "darwin": "macOS"}[runtime.GOOS]
	arch := map[string]string{"amd64": "X64", "arm64": "ARM64"}[runtime.GOARCH]
	for _, tool := range []string{"bash", "curl", "tar"} {
		if _, err := exec.LookPath(tool); err != nil || system == "" || arch == "" {
			t.Skip("needs bash, curl and tar, on a system for which runs what this builds")
		}
	}
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{temp: t.TempDir()}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&r.action); err != nil {
		t.Fatal(err)
	}
	r.env = append(os.Environ(), "RUNNER_OS="+system, "RUNNER_ARCH="+arch, "RUNNER_TEMP="+r.temp)
	return r
}

var expression = regexp.MustCompile(`\$\{\{ *([\w.-]+) *\}\}`)

// run runs the steps with these inputs, and returns what they print and the outputs.
func (r *runner) run(t *testing.T, ref string, with map[string]string) (printed string, outputs map[string]string, err error) {
	t.Helper()
	values := map[string]string{"github.action_ref": ref}
	for name, input := range r.action.Inputs {
		values["inputs."+name] = input.Default
	}
	for name, value := range with {
		values["inputs."+name] = value
	}
	evaluate := func(text string) string {
		return expression.ReplaceAllStringFunc(text, func(e string) string {
			value, ok := values[expression.FindStringSubmatch(e)[1]]
			if !ok {
				t.Errorf("action.yml has %s, of which this test knows nothing", e)
			}
			return value
		})
	}
	for _, step := range r.action.Runs.Steps {
		name, is, _ := strings.Cut(step.If, " == ")
		if values[name] != strings.Trim(is, "'") {
			continue
		}
		if expression.MatchString(step.Run) {
			t.Error("a value becomes a part of a script: ", step.Run)
		}
		files := map[string]string{}
		cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.Run)
		cmd.Dir, cmd.Env = r.temp, r.env
		for name, value := range step.Env {
			cmd.Env = append(cmd.Env, name+"="+evaluate(value))
		}
		for _, name := range []string{"GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH"} {
			files[name] = filepath.Join(t.TempDir(), name)
			cmd.Env = append(cmd.Env, name+"="+files[name])
		}
		out, err := cmd.CombinedOutput()
		printed += string(out)
		if err != nil {
			return printed, nil, err
		}
		for name, value := range pairs(files["GITHUB_ENV"]) {
			r.env = append(r.env, name+"="+value)
		}
		if folder, err := os.ReadFile(files["GITHUB_PATH"]); err == nil {
			r.env = append(r.env, "PATH="+strings.TrimSpace(string(folder))+":"+os.Getenv("PATH"))
		}
		for name, value := range pairs(files["GITHUB_OUTPUT"]) {
			values["steps."+step.ID+".outputs."+name] = value
		}
	}
	outputs = map[string]string{}
	if values["inputs.command"] == "start" {
		for name, output := range r.action.Outputs {
			outputs[name] = evaluate(output.Value)
		}
	}
	return printed, outputs, nil
}

func pairs(file string) map[string]string {
	text, err := os.ReadFile(file)
	found := map[string]string{}
	if err == nil {
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			found[name] = value
		}
	}
	return found
}

func (r *runner) getenv(name string) string {
	for i := len(r.env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(r.env[i], name+"="); ok {
			return value
		}
	}
	return ""
}

// releases serves a release with the command line for this machine, as v1.2.3 and
// as the latest; v6.6.6 has another archive than it lists.
func releases(t *testing.T) *httptest.Server {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "lineoauth")
	if out, err := exec.CommandContext(t.Context(), "go", "-C", "../..", "build", "-ldflags=-s -w", "-o", binary, "./cmd/lineoauth").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	z, err := gzip.NewWriterLevel(&archive, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	err = w.WriteHeader(&tar.Header{Name: "lineoauth", Mode: 0o755, Size: int64(len(text))})
	_, err2 := w.Write(text)
	if err := errors.Join(err, err2, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	name := "lineoauth_" + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz"
	sums := fmt.Sprintf("%064d  lineoauth.rb\n%x  %s\n", 0, sha256.Sum256(archive.Bytes()), name)
	mux := http.NewServeMux()
	for _, path := range []string{"/latest/download/", "/download/v1.2.3/", "/download/v6.6.6/", "/download/v6.6.7/"} {
		mux.HandleFunc("GET "+path+name, func(w http.ResponseWriter, _ *http.Request) {
			body := archive.Bytes()
			if path == "/download/v6.6.6/" {
				body = body[:len(body)-1]
			}
			_, _ = w.Write(body) // the client has hung up
		})
		mux.HandleFunc("GET "+path+"SHA256SUMS", func(w http.ResponseWriter, _ *http.Request) {
			body := sums
			if path == "/download/v6.6.7/" {
				body = ""
			}
			_, _ = w.Write([]byte(body)) // the client has hung up
		})
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// The action's steps install the emulator by its sum, start it, export where it
// is, and stop it. They run nothing that is not as the release lists it, and say
// what is wrong.
func TestAction(t *testing.T) {
	r := newRunner(t)
	srv := releases(t)
	t.Run("starts", func(t *testing.T) { starts(t, r, srv.URL) })
	t.Run("refuses", func(t *testing.T) { refuses(t, r, srv.URL) })
}

func starts(t *testing.T, r *runner, releases string) {
	for _, c := range []struct {
		ref  string
		with map[string]string
	}{
		{"main", map[string]string{"channel-id": "1234567890", "channel-secret": "test-secret"}},
		{"v1.2.3", nil},
		{"v6.6.6", map[string]string{"version": "1.2.3"}},
	} {
		with := map[string]string{"releases": releases}
		for name, value := range c.with {
			with[name] = value
		}
		printed, outputs, err := r.run(t, c.ref, with)
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", c.ref, c.with, err, printed)
		}
		stopped := false
		stop := func() {
			if printed, _, err := r.run(t, c.ref, map[string]string{"command": "stop"}); err != nil {
				t.Errorf("stop: %v\n%s", err, printed)
			}
			stopped = true
		}
		defer func() {
			if !stopped {
				stop()
			}
		}()
		if id := c.with["channel-id"]; id != "" && outputs["channel-id"] != id || outputs["url"] != r.getenv("LINE_OAUTH_BASE_URL") {
			t.Error(outputs)
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-c", "lineoauth issue --type v2.1") // by the PATH
		cmd.Env = r.env
		out, err := cmd.CombinedOutput()
		var token struct {
			KeyID string `json:"key_id"`
		}
		if err := errors.Join(err, json.Unmarshal(out, &token)); err != nil || token.KeyID == "" {
			t.Errorf("a step that follows: %v: %s", err, out)
		}
		stop()
	}
}

func refuses(t *testing.T, r *runner, releases string) {
	r.env = slices.DeleteFunc(r.env, func(v string) bool { return strings.HasPrefix(v, "LINEOAUTH_PID=") })
	for _, c := range []struct {
		with map[string]string
		want string
	}{
		{map[string]string{"version": "6.6.6"}, "is not what SHA256SUMS of the release lists"},
		{map[string]string{"version": "6.6.7"}, "is not what SHA256SUMS of the release lists"},
		{map[string]string{"version": "9.9.9"}, "404"},
		{map[string]string{"channel-id": "no number"}, "the emulator does not start: lineoauth: "},
		{map[string]string{"command": "stop"}, "the emulator was not started in this job"},
	} {
		c.with["releases"] = releases
		if printed, _, err := r.run(t, "main", c.with); err == nil || !strings.Contains(printed, c.want) {
			t.Errorf("%v: %v\n%s", c.with, err, printed)
		}
	}
}
