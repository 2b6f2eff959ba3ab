package command

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// process runs lb as a separate process, in a directory and with additional variables, and returns its exit status and output.
func process(t *testing.T, dir string, variables []string, line string) (status int, out, said string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir = dir
	ours := func(v string) bool { return strings.HasPrefix(v, "LB_ADMIN") }
	cmd.Env = append(append(slices.DeleteFunc(os.Environ(), ours), variables...), asCommand+"="+line)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil {
		var ended *exec.ExitError
		if !errors.As(err, &ended) {
			t.Fatalf("lb %s: %v", line, err)
		}
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// TestMisspelt: a command or a flag that does not exist is wrong usage, and the error suggests the right one.
func TestMisspelt(t *testing.T) {
	for line, want := range map[string]string{
		"chek":             `lb: unknown command "chek"; did you mean "check"?`,
		"Status":           `lb: unknown command "Status"; did you mean "status"?`,
		"relaod":           `lb: unknown command "relaod"; did you mean "reload"?`,
		"validate":         `lb: unknown command "validate"; did you mean "check"?`,
		"lb.hcl":           `lb: unknown command "lb.hcl"; did you mean "lb -config lb.hcl"?`,
		"stop":             `lb: unknown command "stop"; SIGTERM ends a running lb`,
		"help chek":        `lb: unknown command "chek"; did you mean "check"?`,
		"help nonsense":    `lb: unknown command "nonsense"; there are: run, demo, check, `,
		"nonsense":         `lb: unknown command "nonsense"; there are: run, demo, check, `,
		"check -confg x":   `lb check: unknown flag "-confg"; did you mean "-config"?`,
		"check --confg=x":  `lb check: unknown flag "-confg"; did you mean "-config"?`,
		"-confg x":         `lb run: unknown flag "-confg"; did you mean "-config"?`,
		"--check":          `lb run: unknown flag "-check"; did you mean "lb check"?`,
		"drain a/b -wiat":  `lb drain: unknown flag "-wiat"; did you mean "-wait"?`,
		"status -nonsense": `lb status: unknown flag "-nonsense"` + "\n",
		"status -tokn=sss": `lb status: unknown flag "-tokn"; did you mean "-token"?`,
		"top -n many":      `lb top: invalid value "many" for flag -n: `,
		"check a b":        `lb check: unexpected argument "b"`,
		"status -admin":    "lb status: flag needs an argument: -admin",
		"help check x":     `lb help: unexpected argument "x"`,
	} {
		status, out, said := run(strings.Fields(line)...)
		if status != exitUsage || out != "" || !strings.HasPrefix(said, want) || strings.Count(said, "\n") > 2 || strings.Contains(said, "sss") {
			t.Errorf("lb %s: exit %d, %q\n%s", line, status, out, said)
		}
	}
}

// TestStreams: help is written to stdout, errors to stderr.
func TestStreams(t *testing.T) {
	if status, out, said := process(t, "", nil, "help check"); status != exitOK || !strings.HasPrefix(out, "lb check ") || said != "" {
		t.Errorf("lb help check: exit %d, %q\n%s", status, said, out)
	}
	if status, out, said := process(t, "", nil, "chek"); status != exitUsage || !strings.Contains(said, `did you mean "check"?`) || out != "" {
		t.Errorf("lb chek: exit %d, %q\n%s", status, out, said)
	}
}

// TestHelp: each listed command has a help page, the same in three ways, on the standard output.
func TestHelp(t *testing.T) {
	status, list, said := run("help")
	if status != exitOK || said != "" {
		t.Fatalf("lb help: exit %d, %s", status, said)
	}
	for _, line := range []string{"-h", "-help", "--help", "help help", "help -h"} {
		if status, out, said := run(strings.Fields(line)...); status != exitOK || out != list || said != "" {
			t.Errorf("lb %s: exit %d, %s\n%s", line, status, said, out)
		}
	}
	all := commands()
	if len(all) < 14 {
		t.Errorf("only %d commands", len(all))
	}
	for _, c := range all {
		if !strings.Contains(list, "\n  lb "+c.name) && c.name != "run" {
			t.Errorf("the list does not have %s:\n%s", c.name, list)
		}
		if c.name == "help" {
			continue
		}
		status, page, said := run("help", c.name)
		if status != exitOK || said != "" {
			t.Errorf("lb help %s: exit %d, %s", c.name, status, said)
		}
		for _, part := range []string{"lb " + c.name + " ", "\nExamples:\n  lb ", "\nExit status:\n  0  ", "\n  2  wrong usage\n"} {
			if !strings.Contains(page, part) {
				t.Errorf("lb help %s does not have %q:\n%s", c.name, part, page)
			}
		}
		for _, flag := range []string{"-h", "--help"} {
			if status, out, said := run(c.name, flag); status != exitOK || out != page || said != "" {
				t.Errorf("lb %s %s: exit %d, %s\n%s", c.name, flag, status, said, out)
			}
		}
	}
	if _, page, _ := run("help", "check"); !strings.Contains(page, "\nFlags:\n  -config file\n") {
		t.Errorf("the page of check does not have its flag:\n%s", page)
	}
	if i := slices.IndexFunc(strings.Split(list, "\n"), func(l string) bool { return len([]rune(l)) > 100 }); i >= 0 {
		t.Errorf("line %d of the list is too long for a terminal:\n%s", i+1, list)
	}
}
