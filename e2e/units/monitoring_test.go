//go:build e2e

package units

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

func TestPrometheusConfiguration(t *testing.T) {
	promtool := need(t, "promtool")
	for _, args := range [][]string{
		{"check", "config", root + "/configs/prometheus.yml"},
		{"check", "rules", root + "/configs/alerts.yml"},
		{"test", "rules", "alerts_test.yml"},
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
}

// TestDashboardExpressions lets Prometheus parse every expression of the
// dashboard, as rules of a file of its own.
func TestDashboardExpressions(t *testing.T) {
	promtool := need(t, "promtool")
	text, err := os.ReadFile(root + "/configs/grafana/dashboards/lb.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	variable := regexp.MustCompile(`\$\w+`)
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			expr := regexp.MustCompile(`\$__rate_interval`).ReplaceAllString(target.Expr, "5m")
			rules = append(rules, rule{"panel:expr", variable.ReplaceAllString(expr, ".*")})
		}
	}
	if len(rules) < 10 {
		t.Fatalf("only %d expressions in the dashboard", len(rules))
	}
	// JSON is YAML too.
	file, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", "--lint=none", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
