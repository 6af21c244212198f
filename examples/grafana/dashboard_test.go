// Package grafana tests dashboard.json, which Grafana imports (Dashboards, New,
// Import): it shows the metrics of "lineoauth proxy" at /_proxy/metrics.
package grafana

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/proxy"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

type dashboard struct {
	Templating struct {
		List []struct{ Type, Query string }
	}
	Panels []struct {
		ID      int
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, LegendFormat string }
	}
}

// The dashboard queries exactly what the proxy exposes: metrics, their kinds, and labels.
func TestDashboard(t *testing.T) {
	exposed := exposedMetrics(t)
	text, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, panel := range d.Panels {
		if len(panel.Targets) == 0 || panel.GridPos.X+panel.GridPos.W > 24 {
			t.Errorf("panel %q: %+v", panel.Title, panel)
		}
		for _, target := range panel.Targets {
			for _, name := range check(t, target.Expr, exposed) {
				asked[name] = true
				for _, label := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
					if !slices.Contains(labels(exposed[name]), label[1]) {
						t.Errorf("panel %q: %s has no label %s", panel.Title, name, label[1])
					}
				}
			}
		}
	}
	for _, variable := range d.Templating.List {
		if variable.Type != "query" {
			continue
		}
		m := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(variable.Query)
		if m == nil || exposed[m[1]] == nil || !slices.Contains(labels(exposed[m[1]]), m[2]) {
			t.Errorf("variable %q", variable.Query)
		}
	}
	for name := range exposed {
		if !asked[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// Queries for metrics that the proxy does not expose are detected.
func TestCheckFinds(t *testing.T) {
	exposed := exposedMetrics(t)
	for _, expr := range []string{
		"lineoauth_proxy_request_total", "sum(", "sum by (code) (rate(lineoauth_proxy_requests_total[5m]))", `lineoauth_proxy_token_expires_seconds{state="ok"}`,
		"lineoauth_proxy_requests_total", "rate(lineoauth_proxy_token_expires_seconds[5m])",
	} {
		if problems, _ := problemsOf(expr, exposed); len(problems) == 0 {
			t.Errorf("nothing is found wrong with %s", expr)
		}
	}
}

func check(t *testing.T, expr string, exposed map[string]*dto.MetricFamily) []string {
	t.Helper()
	problems, names := problemsOf(expr, exposed)
	for _, problem := range problems {
		t.Errorf("%s: %s", expr, problem)
	}
	return names
}

// problemsOf returns the problems of a query, and the metrics that it uses.
func problemsOf(expr string, exposed map[string]*dto.MetricFamily) (problems, names []string) {
	expr = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*").Replace(expr)
	parsed, err := metricsql.Parse(expr)
	if err != nil {
		return []string{err.Error()}, nil
	}
	rated := map[string]bool{}
	var grouped []string
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.RollupExpr:
			if m, ok := e.Expr.(*metricsql.MetricExpr); ok && e.Window != nil {
				rated[m.LabelFilterss[0][0].Value] = true
			}
		case *metricsql.AggrFuncExpr:
			grouped = append(grouped, e.Modifier.Args...)
		case *metricsql.MetricExpr:
			names = append(names, e.LabelFilterss[0][0].Value)
			for _, filter := range e.LabelFilterss[0][1:] {
				grouped = append(grouped, filter.Label)
			}
		}
	})
	for _, name := range names {
		family := exposed[name]
		if family == nil {
			problems = append(problems, "the proxy exposes no "+name)
			continue
		}
		if counter := family.GetType() == dto.MetricType_COUNTER; counter != rated[name] {
			problems = append(problems, name+" is a "+family.GetType().String())
		}
		for _, label := range grouped {
			if !slices.Contains(labels(family), label) {
				problems = append(problems, name+" has no label "+label)
			}
		}
	}
	return problems, names
}

// labels returns the labels of a metric, and those that Prometheus adds.
func labels(family *dto.MetricFamily) []string {
	names := []string{"job", "instance"}
	for _, pair := range family.GetMetric()[0].GetLabel() {
		names = append(names, pair.GetName())
	}
	return names
}

// exposedMetrics returns the metrics of a proxy after it forwarded a request.
func exposedMetrics(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	line := lineoauthtest.NewServer() // in place of LINE
	t.Cleanup(line.Close)
	client, err := lineoauth.New(line.Config())
	if err != nil {
		t.Fatal(err)
	}
	source, err := client.Source(lineoauth.SourceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	p, err := proxy.New(proxy.Config{Source: source, BaseURL: line.URL})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	get(t, front.URL+"/v2/bot/info")

	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(get(t, front.URL+"/_proxy/metrics")))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func get(t *testing.T, url string) string {
	t.Helper()
	rsp, err := http.Get(url) //nolint:gosec // a server of this test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rsp.Body.Close() }()
	body, err := io.ReadAll(rsp.Body)
	if err != nil || rsp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v: %s", rsp.Status, err, body)
	}
	return string(body)
}
