package command

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lb/admin"
)

const testToken = "a token of some length"

// adminServer serves the admin API on an address, and returns the port.
func adminServer(t *testing.T, address, token string) (port string) {
	t.Helper()
	network := "tcp"
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		network, address = "unix", path
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- admin.New(admin.Options{Token: token, Status: func() admin.Status { return admin.Status{} }}).Serve(ctx, listener)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port
}

// closedPort returns a port that refuses connections until the test ends, reserved by a socket that does not listen.
func closedPort(t *testing.T) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(socket) })
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(bound.(*syscall.SockaddrInet4).Port)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func withAdmin(listen, token string) string {
	return fmt.Sprintf("listen \":8080\" {}\nadmin {\n  listen = %q\n  token  = %s\n}\n", listen, token)
}

// TestFindsRunningBalancer: commands take address and token from a flag, a variable or the configuration, in this order.
func TestFindsRunningBalancer(t *testing.T) {
	sockets, err := os.MkdirTemp("", "lb-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	port, six, closed := adminServer(t, "127.0.0.1:0", testToken), "", closedPort(t)
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
		six = adminServer(t, "[::1]:0", testToken)
	}
	adminServer(t, "unix:"+sockets+"/admin.sock", testToken)
	const quoted = `"` + testToken + `"`
	ours, shut := "127.0.0.1:"+port, "127.0.0.1:"+closed
	for name, tc := range map[string]struct {
		text      string // of lb.hcl
		variables []string
		line      string // instead of "status"
		ipv6      bool
	}{
		"in the configuration":           {text: withAdmin(ours, quoted)},
		"on every address":               {text: withAdmin(":"+port, quoted)},
		"on every IPv4 address":          {text: withAdmin("0.0.0.0:"+port, quoted)},
		"on every IPv6 address":          {text: withAdmin("[::]:"+port, quoted)},
		"on IPv6":                        {text: withAdmin("[::1]:"+six, quoted), ipv6: true},
		"by name":                        {text: withAdmin("localhost:"+port, quoted)},
		"on a socket":                    {text: withAdmin("unix:"+sockets+"/admin.sock", quoted)},
		"with the token in a file":       {text: withAdmin(ours, `file("token")`)},
		"with the token in a variable":   {text: withAdmin(ours, `env("OTHER_TOKEN")`), variables: []string{"OTHER_TOKEN=" + testToken}},
		"in a configuration that broke":  {text: "site \"s {\n" + withAdmin(ours, quoted) + "}}\n"},
		"in one with errors":             {text: withAdmin(ours, quoted) + "nonsense {}\n"},
		"in the one that is named":       {text: withAdmin(shut, quoted), line: "status -config other.hcl"},
		"in a directory":                 {text: withAdmin(shut, quoted), line: "status -config folder"},
		"by the variable":                {text: withAdmin(shut, quoted), variables: []string{"LB_ADMIN=" + ours, "LB_ADMIN_TOKEN=" + testToken}},
		"by the flag":                    {text: withAdmin(shut, quoted), variables: []string{"LB_ADMIN=" + shut, "LB_ADMIN_TOKEN=" + testToken}, line: "status -admin :" + port},
		"with the variable's token":      {text: withAdmin(ours, `"of something else"`), variables: []string{"LB_ADMIN_TOKEN=" + testToken}},
		"with the configuration's token": {text: withAdmin(":"+port, quoted), line: "status -admin http://" + ours + "/"},
		"for top":                        {text: withAdmin(ours, quoted), line: "top -n 1 -interval 100ms"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.ipv6 && six == "" {
				t.Skip("no IPv6")
			}
			dir := t.TempDir()
			write(t, dir, "lb.hcl", tc.text)
			write(t, dir, "token", testToken+"\n")
			write(t, dir, "other.hcl", withAdmin(ours, quoted))
			if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, dir, "folder/1.hcl", "listen \":8080\" {}\n")
			write(t, dir, "folder/2.hcl", withAdmin(ours, quoted))
			line := tc.line
			if line == "" {
				line = "status"
			}
			if status, out, said := process(t, dir, tc.variables, line); status != exitOK || said != "" || !strings.Contains(out, "POOL") {
				t.Errorf("lb %s: exit %d\n%s%s", line, status, said, out)
			}
		})
	}
}

// TestErrorNamesTheAddress: if the balancer is not found, the error names the address, where it came from and the remedy. The
// token stays secret, and is sent only to the configured address.
func TestErrorNamesTheAddress(t *testing.T) {
	port, closed := adminServer(t, "127.0.0.1:0", testToken), closedPort(t)
	ours, shut := "127.0.0.1:"+port, "127.0.0.1:"+closed
	const wrong, quoted = "another token of some length", `"another token of some length"`
	for name, tc := range map[string]struct {
		text      string
		variables []string
		line      string
		want      []string
	}{
		"no response at the configuration's": {text: withAdmin(shut, quoted), want: []string{"at " + shut + " (lb.hcl:3): ", "connection refused; is lb running? if it is, use -admin ADDR with the address that it has"}},
		"no response at the variable's":      {variables: []string{"LB_ADMIN=" + shut}, want: []string{"at " + shut + " (the variable LB_ADMIN): ", "connection refused"}},
		"no response at the flag's":          {line: "reload -admin " + shut, want: []string{"at " + shut + " (-admin): ", "connection refused"}},
		"no response on a socket":            {text: withAdmin("unix:/does/not/exist", quoted), want: []string{"at unix:/does/not/exist (lb.hcl:3): ", "no such file"}},
		"to explain":                         {text: withAdmin(shut, quoted), line: "explain http://a/", want: []string{"at " + shut + " (lb.hcl:3): "}},
		"to drain":                           {text: withAdmin(shut, quoted), line: "drain app/127.0.0.1:1", want: []string{"at " + shut + " (lb.hcl:3): "}},
		"to top":                             {text: withAdmin(shut, quoted), line: "top", want: []string{"at " + shut + " (lb.hcl:3): "}},
		"off":                                {text: withAdmin("off", quoted), want: []string{"lb.hcl:3: ", "has no admin listener", "-admin ADDR"}},
		"a port of the system's":             {text: withAdmin(":0", quoted), want: []string{"lb.hcl:3: ", "admin listening", "-admin ADDR"}},
		"no such configuration":              {line: "status -config other.hcl", want: []string{"cannot read other.hcl: no such file", "-admin ADDR"}},
		"a wrong token":                      {text: withAdmin(ours, quoted), want: []string{"at " + ours + " (lb.hcl:3) rejects the token of lb.hcl:4", "-token TOKEN"}},
		"a wrong one by flag":                {text: withAdmin(ours, `"x"`), variables: []string{"LB_ADMIN_TOKEN=" + wrong}, line: "status -token wrong", want: []string{"rejects the token of -token"}},
		"a wrong one by variable":            {text: withAdmin(ours, `"x"`), variables: []string{"LB_ADMIN_TOKEN=" + wrong}, want: []string{"rejects the token of the variable LB_ADMIN_TOKEN"}},
		"no token":                           {text: withAdmin(ours, `""`), want: []string{"requires its token, and the one in lb.hcl:4 is empty here; use -token TOKEN, or the variable LB_ADMIN_TOKEN"}},
		"none written":                       {text: "admin {\n  listen = \"" + ours + "\"\n}\n", want: []string{"(lb.hcl:2) requires its token, and lb.hcl has none"}},
		"one of a variable that is not":      {text: withAdmin(ours, `env("LB_TEST_UNSET")`), want: []string{"requires its token, and none is known: lb.hcl:4: the environment variable LB_TEST_UNSET is not set"}},
		"one for another address":            {text: withAdmin(shut, quoted), line: "status -admin " + ours, want: []string{"(-admin) requires its token, and the one in lb.hcl:4 is only for the address in that configuration"}},
		"one of a listener that is off":      {text: withAdmin("off", quoted), line: "status -admin " + ours, want: []string{"(-admin) requires its token, and the one in lb.hcl:4 is only for the address in that configuration"}},
		"a token without quotes":             {text: withAdmin(ours, strings.ReplaceAll(wrong, " ", "_")), want: []string{"requires its token, and none is known: lb.hcl:4: "}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if tc.text != "" {
				write(t, dir, "lb.hcl", tc.text)
			}
			line := tc.line
			if line == "" {
				line = "status"
			}
			status, out, said := process(t, dir, tc.variables, line)
			if status != exitFail || out != "" || strings.Count(said, "\n") != 1 {
				t.Errorf("lb %s: exit %d\n%s%s", line, status, said, out)
			}
			for _, want := range tc.want {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q: %s", want, said)
				}
			}
			if strings.Contains(said, wrong) || strings.Contains(said, strings.ReplaceAll(wrong, " ", "_")) {
				t.Errorf("it shows the token: %s", said)
			}
		})
	}
}

// TestDefaultAddress: if the address is unknown, the default is tried, with a warning.
func TestDefaultAddress(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"a number":     {"admin {\n  listen = 9901\n}\n", "lb: warning: lb.hcl:2: listen cannot be a number; trying the default admin address, 127.0.0.1:9900\n"},
		"a broken one": {"admin {\n  listen = \"127.0.0.1:9901\n}\n", "lb: warning: lb.hcl:2: a string without its closing quote; trying the default admin address, 127.0.0.1:9900\n"},
		"a variable":   {"admin {\n  listen = env(\"LB_TEST_UNSET\")\n}\n", "lb: warning: lb.hcl:2: the environment variable LB_TEST_UNSET is not set; trying the default"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "lb.hcl", tc.text)
			// The default address may belong to another program.
			if _, _, said := process(t, dir, nil, "status"); !strings.HasPrefix(said, tc.want) {
				t.Errorf("%s\nwant %s", said, tc.want)
			}
		})
	}
}

// TestConfigurationOfRoot: if this user may not read the configuration, the error says so, with the remedy.
func TestConfigurationOfRoot(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{program}
	if os.Getuid() == 0 { // root without the capability to read everything
		setpriv, err := exec.LookPath("setpriv")
		if err != nil {
			t.Skip(err)
		}
		args = []string{setpriv, "--bounding-set", "-dac_override,-dac_read_search", program}
	}
	dir := t.TempDir()
	write(t, dir, "lb.hcl", withAdmin("127.0.0.1:9901", `"`+testToken+`"`))
	if err := os.Chmod(filepath.Join(dir, "lb.hcl"), 0); err != nil {
		t.Fatal(err)
	}
	port := adminServer(t, "127.0.0.1:0", testToken)
	for line, want := range map[string]string{
		"status":                          "lb: warning: cannot read lb.hcl: permission denied; trying the default admin address, 127.0.0.1:9900; use sudo, or -admin ADDR and -token TOKEN, or the variables LB_ADMIN and LB_ADMIN_TOKEN\n",
		"status -config lb.hcl":           "lb: cannot read lb.hcl: permission denied; use sudo, or ",
		"status -admin 127.0.0.1:" + port: "lb: lb's admin listener at 127.0.0.1:" + port + " (-admin) requires its token, and none is known: cannot read lb.hcl: permission denied (try sudo); use -token TOKEN",
		"check":                           "lb.hcl: error: cannot read the configuration: permission denied\n",
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), asCommand+"="+line)
		out, _ := cmd.CombinedOutput()
		if !strings.HasPrefix(string(out), want) || cmd.ProcessState.ExitCode() != exitFail && line != "status" {
			t.Errorf("lb %s: exit %d\n%s\nwant %s", line, cmd.ProcessState.ExitCode(), out, want)
		}
	}
}

// TestFindsItself: a balancer and its commands, all as separate processes with one configuration.
func TestFindsItself(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "lb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, dir, "lb.hcl", fmt.Sprintf(`listen "unix:%s/lb.sock" {}
admin {
  listen = "unix:%s/admin.sock"
  token  = %q
}
site "s" {
  route "/" {
    proxy { pool = "app" }
  }
}
pool "app" {
  backend "127.0.0.1:1" {}
}
`, dir, dir, testToken))
	lb := exec.Command(program)
	lb.Dir, lb.Env = dir, append(os.Environ(), asCommand+"=run")
	log, err := lb.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := lb.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = lb.Process.Kill()
			_ = lb.Wait()
		}
	}()
	lines, serving := bufio.NewScanner(log), false
	for !serving && lines.Scan() {
		serving = strings.Contains(lines.Text(), "admin listening")
	}
	if !serving {
		t.Fatal("it does not serve")
	}
	for _, c := range []struct{ line, want string }{
		{"status", "127.0.0.1:1"},
		{"drain app/127.0.0.1:1", "127.0.0.1:1 in pool app: drain"},
		{"maint app/127.0.0.1:1", "maint"},
		{"ready app/127.0.0.1:1", "ready"},
		{"weight app/127.0.0.1:1 7", "weight 7"},
		{"reload", "reloaded"},
		{"explain http://a/", "site      s"},
		{"top -n 1 -interval 100ms", "127.0.0.1:1"},
	} {
		if status, out, said := process(t, dir, nil, c.line); status != exitOK || !strings.Contains(out, c.want) {
			t.Errorf("lb %s: exit %d\n%s%s", c.line, status, said, out)
		}
	}
	// After an edit that makes the file invalid, commands still find the balancer.
	text, err := os.ReadFile(filepath.Join(dir, "lb.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "lb.hcl", strings.Replace(string(text), `"s" {`, `"s {`, 1))
	if status, out, said := process(t, dir, nil, "status"); status != exitOK || !strings.Contains(out, "127.0.0.1:1") || said != "" {
		t.Errorf("status with a broken file: exit %d\n%s%s", status, said, out)
	}
	if status, _, said := process(t, dir, nil, "reload"); status != exitFail || !strings.Contains(said, "a string without its closing quote") {
		t.Errorf("reload of a broken file: exit %d\n%s", status, said)
	}
	if err := lb.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	ended = true
	if err := lb.Wait(); err != nil {
		t.Error(err)
	}
}

// TestForeignConfiguration: a command reads no configuration of another user unless it is named explicitly.
func TestForeignConfiguration(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	port := adminServer(t, "127.0.0.1:0", testToken)
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, dir, "lb.hcl", withAdmin("127.0.0.1:"+port, fmt.Sprintf("%q", testToken)))
	if err := os.Chown("lb.hcl", 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		caller string // SUDO_UID
		args   []string
		read   bool
	}{
		{"", nil, false},
		{"1000", nil, false},
		{"65534", nil, true},
		{"", []string{"-config", "lb.hcl"}, true},
	} {
		t.Setenv("SUDO_UID", tc.caller)
		t.Setenv(adminVariable, "")
		t.Setenv(tokenVariable, "")
		var out, errors strings.Builder
		status := statusCommand(tc.args, streams{out: &out, err: &errors})
		refused := strings.Contains(errors.String(), "lb.hcl belongs to another user")
		if (status == exitOK) != tc.read || refused == tc.read {
			t.Errorf("SUDO_UID=%q, %q: status %d, %s", tc.caller, tc.args, status, &errors)
		}
	}
}
