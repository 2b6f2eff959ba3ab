//go:build e2e

package units

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// need returns the path of a tool, or skips the test.
func need(t *testing.T, tool string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skipf("%s is not installed: %s was not tested", tool, t.Name())
	}
	return path
}

func units(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(root + "/configs/*.service")
	if err != nil || len(names) < 3 {
		t.Fatalf("found units %q, %v", names, err)
	}
	return names
}

// TestUnitsVerify lets systemd read each unit. The programs that a unit starts
// are installed later, so those it names are replaced by one that is there.
func TestUnitsVerify(t *testing.T) {
	analyze := need(t, "systemd-analyze")
	program := regexp.MustCompile(`(?m)^(Exec\w+=)/\S+`)
	for _, unit := range units(t) {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), filepath.Base(unit))
		if err := os.WriteFile(copied, program.ReplaceAll(text, []byte("${1}/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", copied).CombinedOutput()
		// An unknown key is a warning to systemd; to us it is a spelling mistake.
		if err != nil || strings.Contains(string(out), filepath.Base(unit)) {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

// TestUnitsAreConfined holds the exposure that systemd computes below 2.0 of 10.
func TestUnitsAreConfined(t *testing.T) {
	analyze := need(t, "systemd-analyze")
	for _, unit := range units(t) {
		path, err := filepath.Abs(unit)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", path).CombinedOutput()
		if strings.Contains(string(out), "unrecognized option") {
			t.Skip("this systemd-analyze cannot rate units offline: the confinement was not tested")
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}
