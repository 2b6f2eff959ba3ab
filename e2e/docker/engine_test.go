//go:build e2e

package docker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// commandTimeout limits one command.
const commandTimeout = 5 * time.Minute

// lab is an image and a network of the test's own on the machine's engine.
type lab struct {
	t     *testing.T
	name  string // of the image, the network and the label's value
	label string
	built []string
}

// newLab skips the test where no engine can be used. The test's end removes all that the lab has made.
func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Getenv("LB_E2E_DOCKER") == "0" {
		t.Skip("LB_E2E_DOCKER=0: discovery by Docker was not tested")
	}
	if out, err := try("docker", "version", "--format", "{{.Server.Version}}"); err != nil {
		t.Skipf("no Docker engine responds, discovery by it was not tested: %v %s", err, out)
	}
	l := &lab{t: t, name: fmt.Sprintf("lb-e2e-docker-%d", os.Getpid())}
	l.label = "lb.pool=" + l.name
	l.command("network", "create", l.name)
	t.Cleanup(l.remove)
	return l
}

// build makes an image from scratch with the example clock in it, more being lines of its Dockerfile.
func (l *lab) build(tag, more string) (image string) {
	l.t.Helper()
	dir := l.t.TempDir()
	clock := exec.Command("go", "build", "-o", filepath.Join(dir, "clock"), "./cmd/clock")
	clock.Dir, clock.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := clock.CombinedOutput(); err != nil {
		l.t.Fatalf("cannot build the clock: %v\n%s", err, out)
	}
	text := "FROM scratch\nCOPY clock /clock\nEXPOSE 5000\n" + more + "ENTRYPOINT [\"/clock\", \"-listen\", \"0.0.0.0:5000\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	image = l.name + ":" + tag
	l.command("build", "-q", "-t", image, dir)
	l.built = append(l.built, image)
	return image
}

// start runs a container with the lab's label; its clock calls itself by that name.
func (l *lab) start(image, name string, more ...string) {
	l.t.Helper()
	args := append([]string{"run", "-d", "--name", l.name + "-" + name, "--network", l.name, "--label", l.label}, more...)
	l.command(append(args, image, "-name", name)...)
}

// stop ends a container as docker stop does, and waits for it.
func (l *lab) stop(name string) { l.t.Helper(); l.command("stop", "-t", "10", l.name+"-"+name) }

// health returns what the engine says of a container's health.
func (l *lab) health(name string) string {
	l.t.Helper()
	return strings.TrimSpace(l.command("inspect", "-f", "{{.State.Health.Status}}", l.name+"-"+name))
}

// command runs docker; it must succeed.
func (l *lab) command(args ...string) string {
	l.t.Helper()
	out, err := try(append([]string{"docker"}, args...)...)
	if err != nil {
		l.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (l *lab) remove() {
	ids, err := try("docker", "ps", "-aq", "--filter", "label="+l.label)
	if err == nil && ids != "" {
		ids, err = try(append([]string{"docker", "rm", "-f"}, strings.Fields(ids)...)...)
	}
	if err != nil {
		l.t.Errorf("cannot remove the containers: %v\n%s", err, ids)
	}
	if out, err := try("docker", "network", "rm", l.name); err != nil {
		l.t.Errorf("cannot remove the network: %v\n%s", err, out)
	}
	for _, image := range l.built {
		if out, err := try("docker", "image", "rm", image); err != nil {
			l.t.Errorf("cannot remove image %s: %v\n%s", image, err, out)
		}
	}
}

// try runs a command and returns what it printed.
func try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0") // the builder that every engine has
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
