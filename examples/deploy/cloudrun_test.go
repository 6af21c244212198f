//go:build unix

package deploy

import (
	"encoding/json"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/lineoauth/lineoauth"
)

// A service of Knative's, as far as Cloud Run takes it: its own types, which bring
// hundreds of packages, have the same fields.
//
// https://cloud.google.com/run/docs/reference/yaml/v1
type service struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Spec            struct {
		Template struct {
			Metadata metav1.ObjectMeta `json:"metadata"`
			Spec     struct {
				corev1.PodSpec       `json:",inline"`
				ContainerConcurrency *int64 `json:"containerConcurrency"`
				TimeoutSeconds       *int64 `json:"timeoutSeconds"`
			} `json:"spec"`
		} `json:"template"`
		Traffic []struct {
			LatestRevision *bool  `json:"latestRevision"`
			Percent        *int64 `json:"percent"`
		} `json:"traffic"`
	} `json:"spec"`
}

// The sidecar runs with its arguments and environment, and continues after it was frozen
// for longer than its token is valid.
func TestCloudRun(t *testing.T) {
	var s service
	if err := yaml.UnmarshalStrict([]byte(read(t, "cloudrun/service.yaml")), &s); err != nil {
		t.Fatal(err)
	}
	containers := s.Spec.Template.Spec.Containers
	find := func(name string) corev1.Container {
		i := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })
		return containers[i]
	}
	c, bot := find("proxy"), find("bot")
	if s.APIVersion != "serving.knative.dev/v1" || s.Kind != "Service" || len(containers) != 2 || len(bot.Ports) != 1 || len(c.Ports) != 0 {
		t.Errorf("Cloud Run sends requests to the container with a port: %+v", containers)
	}
	var order map[string][]string
	if err := json.Unmarshal([]byte(s.Spec.Template.Metadata.Annotations["run.googleapis.com/container-dependencies"]), &order); err != nil || !slices.Equal(order["bot"], []string{"proxy"}) {
		t.Error(order, err)
	}
	is := released(t)
	if !is.is(c.Image) || len(c.Command) > 0 {
		t.Error(c.Image, c.Command)
	}

	w := newWorld(t, "secret", "8081")
	w.mount(c.VolumeMounts[0].MountPath, map[string]string{"channel-secret": "secret"})
	env := environment(t, c)
	env["LINE_OAUTH_BASE_URL"] = w.line.URL
	proxy := w.start(append([]string{is.program()}, c.Args...), env, "")
	defer proxy.stop()
	url := w.here(environment(t, bot)["LINE_API_URL"])
	if !w.probe(c, c.StartupProbe) {
		t.Error("the startup probe fails")
	}
	if got := w.push(url, ""); got != http.StatusOK {
		t.Errorf("a push is answered with %d", got)
	}
	proxy.signal(syscall.SIGSTOP)
	w.line.Advance(time.Hour)
	proxy.signal(syscall.SIGCONT)
	if got := w.push(url, ""); got != http.StatusOK {
		t.Errorf("after the freeze, a push is answered with %d", got)
	}
	w.sent(2, lineoauth.OpIssueStatelessChannelToken, 2)
}
