package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// serveArgument makes the test binary a server of 1 KiB at an address, which is measured beside others.
const serveArgument = "serve"

func serve(arguments []string) error {
	return http.ListenAndServe(arguments[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, bodyText(1<<10))
	}))
}

func TestCommandIsMeasured(t *testing.T) {
	self := testBinary(t)
	o := testOptions(t, "-rounds", "1", "-peers", "none", "-lb", brokenLB(t), "-only", "rate200,static1k",
		"-subject", fmt.Sprintf("other='%s' %s {listen} {backend}", self, serveArgument))
	f := newFleet(t)
	b, err := prepare(t.Context(), o, f.dir, f)
	if err != nil {
		t.Skip(err)
	}
	result := b.runScenario(t.Context(), o.scenarios[0])
	if got := valuesOf(result.Samples["other"], "p99_us"); len(got) != 1 {
		t.Errorf("values %v of the command, want one; failures %q", got, result.Failures)
	}
	if files := b.runScenario(t.Context(), o.scenarios[1]); slices.Contains(files.Subjects, "other") {
		t.Error("a command that is given no files was asked for one")
	}
}

func TestCommandIsFilledIn(t *testing.T) {
	c, err := parseCommand("x=server -a {listen} -p {port} -t {tls} -c {certificate} -k {key} -d {root} -n {workers} -m {admin} {backend} {backends}")
	if err != nil {
		t.Fatal(err)
	}
	values := settings{
		Dir: t.TempDir(), Address: "127.0.0.1:1", TLSAddress: "127.0.0.1:2", Admin: "127.0.0.1:3", Certificate: "c.pem", Key: "k.pem",
		Root: "/www", Workers: 2, Backends: []string{"127.0.0.1:4", "127.0.0.2:4"},
	}
	argv, _ := commandSubject(c).command("", values)
	file := values.Dir + "/x-backends"
	want := "exec server -a 127.0.0.1:1 -p 1 -t 127.0.0.1:2 -c c.pem -k k.pem -d /www -n 2 -m 127.0.0.1:3 127.0.0.1:4 " + file
	if got := argv[len(argv)-1]; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "127.0.0.1:4\n127.0.0.2:4\n" {
		t.Errorf("the file of backends: %q and %v", content, err)
	}
}

func TestFeaturesOfCommand(t *testing.T) {
	tests := []struct {
		line        string
		can, cannot []feature
	}{
		{"{listen} {backend}", []feature{featureProxy}, []feature{featureManyBackends, featureFiles, featureTLS, featureProfile, featureAccessLog}},
		{"{port} {backends}", []feature{featureProxy, featureManyBackends}, []feature{featureFiles}},
		{"{port} {root} {tls} {admin}", []feature{featureFiles, featureTLS, featureProfile}, []feature{featureProxy}},
	}
	for _, test := range tests {
		c, err := parseCommand("x=" + test.line)
		if err != nil {
			t.Fatal(err)
		}
		s := commandSubject(c)
		if !s.can(test.can) {
			t.Errorf("%q: not all of %q", test.line, test.can)
		}
		for _, f := range test.cannot {
			if s.can([]feature{f}) {
				t.Errorf("%q has %s", test.line, f)
			}
		}
	}
}

func TestSpreadAddresses(t *testing.T) {
	addresses, err := spreadAddresses("127.0.0.1:80", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	if len(addresses) != 100_000 || addresses[0] != "127.0.0.1:80" || addresses[1] != "127.1.0.1:80" {
		t.Errorf("%d addresses, the first %q", len(addresses), addresses[:2])
	}
	if slices.Sort(addresses); len(slices.Compact(addresses)) != 100_000 {
		t.Error("an address comes twice")
	}
	for _, address := range addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil || !net.ParseIP(host).IsLoopback() {
			t.Fatalf("%q is not on this machine", address)
		}
	}
	if _, err := spreadAddresses("nowhere", 2); err == nil {
		t.Error("no error for an address without a port")
	}
}

// A program that fails with one number of backends is still measured with the others.
func TestVariantsFailAlone(t *testing.T) {
	self := testBinary(t)
	// A server that starts only where the file of backends has a single line.
	line := fmt.Sprintf(`other=sh -c 'test $(wc -l <{backends}) = 1 && exec "%s" %s {listen}'`, self, serveArgument)
	o := testOptions(t, "-rounds", "2", "-peers", "none", "-lb", brokenLB(t), "-only", "backends", "-subject", line)
	f := newFleet(t)
	b, err := prepare(t.Context(), o, f.dir, f)
	if err != nil {
		t.Skip(err)
	}
	b.subjects = slices.DeleteFunc(b.subjects, func(s subject) bool { return s.name != "other" })
	result := b.runScenario(t.Context(), o.scenarios[0])
	if got := valuesOf(result.Samples["other"], "cpu_us_1"); len(got) != 2 {
		t.Errorf("values %v with one backend, want two; failures %q", got, result.Failures)
	}
	if got := valuesOf(result.Samples["other"], "cpu_ratio_3"); len(got) != 0 {
		t.Errorf("ratios %v with three backends, want none", got)
	}
	if len(result.Failures) != 1 || !strings.Contains(result.Failures[0], "3 backends") {
		t.Errorf("failures %q, want one that names the number of backends", result.Failures)
	}
}
