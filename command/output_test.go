package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// asCommand makes the test's program run as lb: it has the same packages, so their initializers run.
const asCommand = "LB_TEST_COMMAND"

func TestMain(m *testing.M) {
	if line := os.Getenv(asCommand); line != "" {
		os.Exit(command(strings.Fields(line), streams{out: os.Stdout, err: os.Stderr}))
	}
	os.Exit(m.Run())
}

// TestVersionIsAllThatIsPrinted: no linked package prints anything before the command does, on any host. A library once logged a
// line on kernels without pressure figures, which are most, so that the first line of a JSON log was no JSON.
func TestVersionIsAllThatIsPrinted(t *testing.T) {
	want := fmt.Sprintf("lb %s %s %s/%s\n", (&streams{}).versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, host := range []struct{ name, before string }{
		{name: "this one"},
		{"without control groups", "mount -t tmpfs none /sys/fs/cgroup"},
		{"with the second version's files, but without pressure", "mount -t tmpfs none /sys/fs/cgroup && touch /sys/fs/cgroup/cgroup.controllers"},
		{"without a control group of its own", "mount --bind /dev/null /proc/$$/cgroup"},
		{"without /sys", "mount -t tmpfs none /sys"},
	} {
		t.Run(host.name, func(t *testing.T) {
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program)
			if host.before != "" {
				cmd = exec.Command("/bin/sh", "-c", host.before+` || exit 77; exec "$0"`, program)
				cmd.SysProcAttr = ownMounts()
			}
			cmd.Env = append(os.Environ(), asCommand+"=version")
			var out, said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &said
			err = cmd.Run()
			if host.before != "" && (errors.Is(err, os.ErrPermission) || cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 77) {
				t.Skipf("this user may not mount: %v %s", err, &said)
			}
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != want || said.Len() != 0 {
				t.Errorf("stdout %q, want %q\nstderr %q, want nothing", &out, want, &said)
			}
		})
	}
}

// ownMounts gives a process a separate mount namespace; a user namespace allows that without root.
func ownMounts() *syscall.SysProcAttr {
	if os.Getuid() == 0 {
		return &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// TestLibrariesLogAsConfigured: messages of a library, such as the metrics' when /proc/self/stat cannot be read, are JSON where
// the log is.
func TestLibrariesLogAsConfigured(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "lb.hcl")
	text := fmt.Sprintf(`
listen "unix:%s/lb.sock" {}
admin { listen = "127.0.0.1:0" }
log { format = "json" }
site "s" {
  route "/" {
    respond { status = 204 }
  }
}
`, dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `mount --bind /dev/null /proc/$$/stat || exit 77; exec "$0"`, program)
	cmd.SysProcAttr = ownMounts()
	cmd.Env = append(os.Environ(), asCommand+"=-config "+file)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("this user may not mount: %v", err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	reported, first := false, true
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		var line struct {
			Message                         string `json:"@message"`
			Address, Version, Configuration string
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Errorf("%v: %s", err, lines.Bytes())
			continue
		}
		if first && (line.Message != "starting" || line.Version != (&streams{}).versionText() || line.Configuration != file) {
			t.Errorf("the first line does not say which version reads which file: %s", lines.Bytes())
		}
		first = false
		reported = reported || strings.Contains(line.Message, "/proc/self/stat")
		if line.Message == "admin listening" {
			resp, err := http.Get("http://" + line.Address + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() == 77 {
		t.Skip("this user may not mount")
	}
	if err != nil || !reported {
		t.Errorf("ended with %v; a warning about /proc/self/stat: %v", err, reported)
	}
}
