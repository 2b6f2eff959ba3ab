//go:build e2e

package docs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const root = "../.."

// notRun begins the first line of a block that is left out, with the reason, for the reader to see too.
const notRun = "# Not run by the tests: "

// patience limits a page; one that reaches it fails.
const patience = 10 * time.Minute

// languages are what a fenced block may be: commands are run here, configurations read in e2e/units.
var languages = []string{"sh", "hcl", "hcl fragment", "console", "text", "yaml", "promql", "mermaid", "go"}

// block is one fenced block of a page.
type block struct {
	language, text string
	line           int
}

// pages returns the fenced blocks of each page.
func pages(t *testing.T) map[string][]block {
	t.Helper()
	names := []string{"README.md", "SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md"}
	more, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(more) == 0 {
		t.Fatalf("no pages, %v", err)
	}
	for _, name := range more {
		names = append(names, "docs/"+filepath.Base(name))
	}
	all := map[string][]block{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = fenced(t, name, string(text))
	}
	return all
}

func fenced(t *testing.T, name, text string) (blocks []block) {
	t.Helper()
	var open *block
	indent := ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case open == nil && strings.HasPrefix(trimmed, "```"):
			indent = line[:len(line)-len(trimmed)]
			open = &block{language: strings.TrimPrefix(trimmed, "```"), line: i + 1}
		case open != nil && trimmed == "```":
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case strings.HasPrefix(line, "    ") && i > 0:
			t.Errorf("%s:%d: an indented block; write a fence that says what it is: ```sh", name, i+1)
		}
	}
	if open != nil {
		t.Errorf("%s:%d: a fence that is not closed", name, open.line)
	}
	return blocks
}

// TestBlocksHaveLanguages: every block of every page has a language, and commands have no prompt, so that they can be
// pasted.
func TestBlocksHaveLanguages(t *testing.T) {
	prompt := regexp.MustCompile(`(?m)^\s*[$%] `)
	for name, blocks := range pages(t) {
		for _, b := range blocks {
			if !slices.Contains(languages, b.language) {
				t.Errorf("%s:%d: a block of %q; write one of %q", name, b.line, b.language, languages)
			}
			if b.language == "sh" && prompt.MatchString(b.text) {
				t.Errorf("%s:%d: commands with a prompt cannot be pasted", name, b.line)
			}
		}
	}
}

// TestPages runs the commands of each page, one block after the other. Of a console block, only the lines after a $
// are run; the output below them is not compared.
func TestPages(t *testing.T) {
	for name, blocks := range pages(t) {
		var script strings.Builder
		commands := 0
		for _, b := range blocks {
			text := b.text
			switch {
			case b.language == "console":
				text = typed(b.text)
			case b.language != "sh":
				continue
			}
			if reason, left := strings.CutPrefix(text, notRun); left {
				reason, _, _ = strings.Cut(reason, "\n")
				if len(reason) < 10 {
					t.Errorf("%s:%d: no reason why it is not run", name, b.line)
				}
				t.Logf("%s:%d: not run: %s", name, b.line, reason)
				continue
			}
			commands++
			fmt.Fprintf(&script, "at=%s:%d\n%s\n", name, b.line, interrupted(text))
		}
		if commands == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			paste(t, before[name]+script.String())
		})
	}
}

// typed returns the commands of a console block.
func typed(text string) string {
	var commands strings.Builder
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands.WriteString(command)
		}
	}
	return commands.String()
}

// interrupted replaces a command that the page ends by Ctrl-C: it is started, interrupted once its admin listener
// accepts connections, and must end.
func interrupted(text string) string {
	return regexp.MustCompile(`(?m)^(.*\S)\s+# .*Ctrl-C ends.*$`).ReplaceAllString(text, `
set -m
$1 &
set +m
until (exec 3<>/dev/tcp/127.0.0.1/9900) 2>/dev/null; do kill -0 %+ || exit 1; sleep 0.1; done
kill -INT %+
wait || true`)
}

// paste runs a script in namespaces of its own.
func paste(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	text := `set -Eeuo pipefail
trap 'echo "FAILED behind $at: $BASH_COMMAND" >&2' ERR
at=before
` + script + "kill $(jobs -p) 2>/dev/null || true\n"
	file := filepath.Join(dir, "script")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "--propagation", "private"}
	if os.Getuid() != 0 {
		args = append(args, "--map-root-user")
	}
	if err := exec.Command("unshare", append(args, "true")...).Run(); err != nil {
		t.Skipf("this user may not have namespaces (%v): the commands of the documentation were not run", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", append(args, "bash", repository+"/e2e/docs/testdata/machine.sh", repository, repository+"/e2e/docs/testdata", file)...)
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "PYTHONDONTWRITEBYTECODE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Errorf("%v\n%s", err, lastLines(said.String(), 60))
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
