//go:build unix

package deploy

import (
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/lineoauth/lineoauth"
)

// A manifest is what a file for kubectl has.
type manifest struct {
	deployments []appsv1.Deployment
	services    []corev1.Service
	policies    []networkingv1.NetworkPolicy
}

// decodeManifest refuses fields that the API does not have.
func decodeManifest(t *testing.T, name string) (m manifest) {
	t.Helper()
	for text := range strings.SplitSeq(read(t, name), "\n---\n") {
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
			t.Fatal(err)
		}
		var err error
		switch kind.APIVersion + " " + kind.Kind {
		case "apps/v1 Deployment":
			m.deployments = append(m.deployments, appsv1.Deployment{})
			err = yaml.UnmarshalStrict([]byte(text), &m.deployments[len(m.deployments)-1])
		case "v1 Service":
			m.services = append(m.services, corev1.Service{})
			err = yaml.UnmarshalStrict([]byte(text), &m.services[len(m.services)-1])
		case "networking.k8s.io/v1 NetworkPolicy":
			m.policies = append(m.policies, networkingv1.NetworkPolicy{})
			err = yaml.UnmarshalStrict([]byte(text), &m.policies[len(m.policies)-1])
		default:
			t.Errorf("%s: nothing checks a %s of %s", name, kind.Kind, kind.APIVersion)
		}
		if err != nil {
			t.Errorf("%s: %s: %v", name, kind.Kind, err)
		}
	}
	return m
}

// container finds one by its name.
func (m manifest) container(t *testing.T, name string) corev1.Container {
	t.Helper()
	for _, d := range m.deployments {
		for _, c := range slices.Concat(d.Spec.Template.Spec.InitContainers, d.Spec.Template.Spec.Containers) {
			if c.Name == name {
				return c
			}
		}
	}
	t.Fatalf("there is no container %s", name)
	return corev1.Container{}
}

// environment refuses what only a cluster can look up.
func environment(t *testing.T, c corev1.Container) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, e := range c.Env {
		if e.ValueFrom != nil {
			t.Errorf("%s: nothing here knows the value of %s", c.Name, e.Name)
		}
		env[e.Name] = e.Value
	}
	return env
}

// probe asks as the kubelet does: at the pod's address, by HTTP with the headers that
// are given.
func (w *world) probe(c corev1.Container, p *corev1.Probe) bool {
	w.Helper()
	if p.TCPSocket != nil {
		conn, err := net.Dial("tcp", "127.0.0.1:"+w.ports[portOf(w.T, c, p.TCPSocket.Port.String())])
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	client := http.Client{Timeout: time.Duration(max(1, p.TimeoutSeconds)) * time.Second}
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, "http://127.0.0.1:"+w.ports[portOf(w.T, c, p.HTTPGet.Port.String())]+p.HTTPGet.Path, nil)
	if err != nil {
		w.Fatal(err)
	}
	r.Host = "10.0.0.1" // the pod's, unless a header says other
	for _, h := range p.HTTPGet.HTTPHeaders {
		if h.Name == "Host" {
			r.Host = h.Value
		}
		r.Header.Set(h.Name, h.Value)
	}
	rsp, err := client.Do(r)
	if err != nil {
		return false
	}
	_ = rsp.Body.Close()
	return rsp.StatusCode < http.StatusBadRequest
}

// portOf is the number of a container's port, by its name or number.
func portOf(t *testing.T, c corev1.Container, port string) string {
	t.Helper()
	for _, p := range c.Ports {
		if number := strconv.Itoa(int(p.ContainerPort)); p.Name == port || number == port {
			return number
		}
	}
	if _, err := strconv.Atoi(port); err != nil {
		t.Errorf("container %s has no port %s", c.Name, port)
	}
	return port
}

// What a cluster with the "restricted" standard for pods takes, and what refers to each
// other.
func TestKubernetes(t *testing.T) {
	is := released(t)
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		m := decodeManifest(t, file)
		for _, d := range m.deployments {
			pod := d.Spec.Template
			labels := pod.Labels
			if !matches(d.Spec.Selector.MatchLabels, labels) {
				t.Errorf("%s: %s does not select its own pods", file, d.Name)
			}
			checkPod(t, file+": "+d.Name, &pod.Spec, is)
		}
		selects := func(name string, selector map[string]string, ports ...string) {
			t.Helper()
			for _, d := range m.deployments {
				if !matches(selector, d.Spec.Template.Labels) {
					continue
				}
				for _, port := range ports {
					if !slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
						return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port })
					}) {
						t.Errorf("%s: %s leads to port %s, which no container has", file, name, port)
					}
				}
				return
			}
			t.Errorf("%s: %s selects nothing", file, name)
		}
		for _, s := range m.services {
			for _, p := range s.Spec.Ports {
				selects("service "+s.Name, s.Spec.Selector, p.TargetPort.String())
			}
		}
		for _, p := range m.policies {
			for _, rule := range p.Spec.Ingress {
				for _, port := range rule.Ports {
					selects("policy "+p.Name, p.Spec.PodSelector.MatchLabels, port.Port.String())
				}
				for _, from := range rule.From {
					selects("a source of policy "+p.Name, from.PodSelector.MatchLabels)
				}
			}
		}
	}
}

func matches(selector, labels map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return len(selector) > 0
}

func checkPod(t *testing.T, name string, pod *corev1.PodSpec, is image) {
	t.Helper()
	security := pod.SecurityContext
	if security == nil || security.RunAsNonRoot == nil || !*security.RunAsNonRoot || security.SeccompProfile == nil || security.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Errorf("%s: the pod is not restricted", name)
	}
	volumes := map[string]corev1.Volume{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v
		if v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o440 || security.FSGroup == nil || *security.FSGroup != *security.RunAsGroup) {
			t.Errorf("%s: others than the pod's user can read %s, or not even that one", name, v.Name)
		}
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		s := c.SecurityContext
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("%s: container %s is not restricted", name, c.Name)
		}
		if is.is(c.Image) && (len(c.Command) > 0 || strconv.FormatInt(*security.RunAsUser, 10) != is.user) {
			t.Errorf("%s: container %s has another command or user than its image", name, c.Name)
		}
		for _, mount := range c.VolumeMounts {
			v, ok := volumes[mount.Name]
			if !ok || v.Secret != nil && (!mount.ReadOnly || mount.SubPath != "") {
				t.Errorf("%s: container %s has no volume %s, can write to it, or would not see it change", name, c.Name, mount.Name)
			}
		}
		for _, p := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if p != nil && p.HTTPGet != nil {
				portOf(t, c, p.HTTPGet.Port.String())
			}
		}
	}
}

// The sidecar serves a bot, its probes say how it is, and it takes up the secret that
// is mounted again.
func TestSidecar(t *testing.T) {
	m := decodeManifest(t, "kubernetes/sidecar.yaml")
	c, bot := m.container(t, "proxy"), m.container(t, "bot")
	is := released(t)
	w := newWorld(t, "first", "8081", "8080")
	mountPath := c.VolumeMounts[0].MountPath
	w.mount(mountPath, map[string]string{"channel-secret": "first\n"})
	env := environment(t, c)
	env["LINE_OAUTH_BASE_URL"] = w.line.URL
	proxy := w.start(append([]string{is.program()}, c.Args...), env, "")
	url := w.here(environment(t, bot)["LINE_API_URL"])
	for name, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if !w.probe(c, p) {
			t.Errorf("the %s probe fails", name)
		}
	}
	if got := w.push(url, ""); got != http.StatusOK {
		t.Errorf("a push is answered with %d", got)
	}
	if got := w.push(url, "line-bot.default.svc"); got != http.StatusForbidden {
		t.Errorf("a push by another name is answered with %d", got)
	}
	w.sent(1, lineoauth.OpIssueStatelessChannelToken, 1)

	second := w.channel.ReissueSecret("")
	w.mount(mountPath, map[string]string{"channel-secret": second + "\n"})
	w.line.Advance(15 * time.Minute)
	if got := w.push(url, ""); got != http.StatusOK {
		t.Errorf("with the next secret, a push is answered with %d", got)
	}
	if strings.Contains(proxy.stderr.String(), "warning") && !strings.Contains(proxy.stderr.String(), "plain http") {
		t.Errorf("it warns: %s", proxy.stderr.String())
	}

	// Without a valid token it is not ready, but is not started again either.
	_ = w.channel.ReissueSecret("")
	w.line.Advance(15 * time.Minute)
	_ = w.push(url, "") // so that it knows
	if w.probe(c, c.ReadinessProbe) || !w.probe(c, c.LivenessProbe) {
		t.Error("without a token it is ready, or not live")
	}
	proxy.stop()
}

// What the manifests' comments tell to create is what they mount.
func TestSecretsAreCreated(t *testing.T) {
	for _, file := range []string{"kubernetes/sidecar.yaml", "kubernetes/fleet.yaml"} {
		text := read(t, file)
		var created []string
		for _, name := range regexp.MustCompile(`--from-file=(\S+)`).FindAllStringSubmatch(text, -1) {
			created = append(created, name[1])
		}
		var used []string
		for _, name := range regexp.MustCompile(`/run/secrets/line/([\w.-]+)`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains(used, name[1]) {
				used = append(used, name[1])
			}
		}
		slices.Sort(created)
		slices.Sort(used)
		secret := regexp.MustCompile(`create secret generic (\S+)`).FindStringSubmatch(text)
		if !slices.Equal(created, used) || secret == nil || !strings.Contains(text, "secretName: "+secret[1]) {
			t.Errorf("%s creates %v of %v, and uses %v", file, created, secret, used)
		}
	}
}
