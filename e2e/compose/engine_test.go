//go:build e2e

package compose

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// commandTimeout limits one command; the longest is the first build.
const commandTimeout = 15 * time.Minute

// stack is the project of docker-compose.yml under a name, images and ports of
// its own, so that it disturbs no other one on the machine.
type stack struct {
	t       *testing.T
	compose []string // "docker compose" or "docker-compose"
	project string
	env     []string // what the file's variables get
}

// newStack skips the test where no engine or no compose command can be used.
func newStack(t *testing.T) *stack {
	t.Helper()
	if os.Getenv("LB_E2E_DOCKER") == "0" {
		t.Skip("LB_E2E_DOCKER=0: the compose stack was not tested")
	}
	if out, err := try(10*time.Second, "docker", "version", "--format", "{{.Server.Version}}"); err != nil {
		t.Skipf("no Docker engine responds, the compose stack was not tested: %v %s", err, out)
	}
	s := &stack{t: t, project: fmt.Sprintf("lb-e2e-%d", os.Getpid())}
	for _, command := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if _, err := try(20*time.Second, append(command, "version")...); err == nil {
			s.compose = command
			return s
		}
	}
	t.Skip("neither `docker compose` nor `docker-compose` is installed, the compose stack was not tested")
	return nil
}

// run runs a compose command on the project; it must succeed.
func (s *stack) run(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("compose %s: %v\n%s", strings.Join(args, " "), err, tail(out))
	}
	return out
}

func (s *stack) try(args ...string) (string, error) {
	all := append(append([]string{}, s.compose...), "-p", s.project, "-f", "docker-compose.yml")
	return tryEnv(commandTimeout, s.env, append(all, args...)...)
}

// replicas returns how many containers of the service run.
func (s *stack) replicas(service string) int {
	return len(strings.Fields(s.run("ps", "-q", service)))
}

// down takes the project's containers, networks and volumes away.
func (s *stack) down() {
	if out, err := s.try("down", "--volumes", "--remove-orphans", "--timeout", "20"); err != nil {
		s.t.Errorf("cannot take the stack down: %v\n%s", err, tail(out))
	}
}

// removeImages removes those of the images that were made.
func removeImages(t *testing.T, images ...string) {
	for _, image := range images {
		if _, err := try(time.Minute, "docker", "image", "inspect", image); err != nil {
			continue // was never built
		}
		if out, err := try(5*time.Minute, "docker", "image", "rm", image); err != nil {
			t.Errorf("cannot remove image %s: %v\n%s", image, err, tail(out))
		}
	}
}

// removeBuilds removes the untagged images, and the container of a step that
// failed, that a build stage FROM base leaves behind with the classic builder;
// BuildKit leaves none.
func removeBuilds(t *testing.T, base string) {
	baseID, err := try(time.Minute, "docker", "image", "inspect", "--format", "{{.Id}}", base)
	if err != nil {
		return // there is no such image
	}
	if steps, err := try(time.Minute, "docker", "ps", "--all", "--quiet", "--filter", "ancestor="+base); err == nil && steps != "" {
		if out, err := try(time.Minute, append([]string{"docker", "rm", "--force"}, strings.Fields(steps)...)...); err != nil {
			t.Errorf("cannot remove the build's containers: %v\n%s", err, out)
		}
	}
	ids, err := try(time.Minute, "docker", "images", "--all", "--quiet", "--no-trunc")
	if err != nil {
		t.Errorf("cannot list images: %v\n%s", err, ids)
		return
	}
	list, err := try(time.Minute, append([]string{"docker", "image", "inspect", "--format", "{{.Id}} {{.Parent}}"}, strings.Fields(ids)...)...)
	if err != nil {
		t.Errorf("cannot inspect images: %v\n%s", err, list)
		return
	}
	parent, hasChild := map[string]string{}, map[string]bool{}
	for line := range strings.Lines(list) {
		if fields := strings.Fields(line); len(fields) == 2 {
			parent[fields[0]] = fields[1]
			hasChild[fields[1]] = true
		}
	}
	for leaf := range parent {
		root := leaf
		for parent[root] != "" {
			root = parent[root]
		}
		if hasChild[leaf] || root != strings.TrimSpace(baseID) || root == leaf {
			continue
		}
		// Removing the last of a chain removes its untagged parents too.
		if out, err := try(5*time.Minute, "docker", "image", "rm", leaf); err != nil {
			t.Errorf("cannot remove the build stage %s: %v\n%s", leaf, err, out)
		}
	}
}

// try runs a command in the repository's root and returns what it printed.
func try(timeout time.Duration, args ...string) (string, error) {
	return tryEnv(timeout, nil, args...)
}

func tryEnv(timeout time.Duration, env []string, args ...string) (string, error) {
	var out bytes.Buffer
	err := pipe(timeout, env, nil, &out, args...)
	return out.String(), err
}

// pipe runs a command in the repository's root with the streams given; its
// standard error goes to out as well.
func pipe(timeout time.Duration, env []string, in io.Reader, out io.Writer, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	return cmd.Run()
}

// tail is the end of a long output, where its error is.
func tail(out string) string {
	const most = 4000
	if len(out) > most {
		return "…" + out[len(out)-most:]
	}
	return out
}
