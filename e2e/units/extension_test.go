//go:build e2e

package units

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// TestExtension builds lb with the filter of the example, as a module of its own, and sends requests with curl.
func TestExtension(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(want int, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if status := cmd.ProcessState.ExitCode(); status != want {
			t.Fatalf("%s %s: %d, %v\n%s", name, strings.Join(args, " "), status, err, out)
		}
		return string(out)
	}
	main, err := os.ReadFile(root + "/examples/filter/main.go")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(root + "/go.sum")
	if err != nil {
		t.Fatal(err)
	}
	write("main.go", string(main))
	write("go.sum", string(sums))
	write("go.mod", "module example.com/lb-country\n\ngo 1.26\n\nrequire lb v0.0.0\n\nreplace lb => "+root+"\n")
	run(0, "go", "build", "-mod=mod", "-o", "lb-country", ".")

	app := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			c.Send(lbtest.OK("country " + strings.Join(lbtest.Fields(head, "X-Country"), ",")))
		}
	})
	service := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			c.Send(lbtest.OK("FR"))
		}
	})
	address := free(t)
	write("table", "127.0.0.0/8 DE\n")
	configuration := strings.NewReplacer("LISTEN", address, "APP", app.Addr, "SERVICE", service.Addr).Replace(`listen "LISTEN" {}
admin {
  listen = "off"
}
site "s" {
  route "/" {
    country {
      table = "table"
      show  = true
    }
    proxy {
      pool = "app"
    }
  }
  route "/blocked" {
    country {
      table   = "table"
      blocked = ["DE"]
    }
    proxy {
      pool = "app"
    }
  }
  route "/asked" {
    country {
      service = "http://SERVICE/"
    }
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "APP" {}
}
`)
	write("lb.hcl", configuration)
	run(0, "./lb-country", "check", "-config", "lb.hcl")
	run(0, "./lb-country", "fmt", "-check", "lb.hcl")
	if out := run(0, "./lb-country", "explain", "-config", "lb.hcl", "-client", "127.0.0.1", "http://"+address+"/blocked"); !strings.Contains(out, "1 networks of") || !strings.Contains(out, "451") {
		t.Errorf("the explanation is\n%s", out)
	}
	write("bad.hcl", strings.Replace(configuration, "show  = true", "shown = true", 1))
	if out := run(1, "./lb-country", "check", "-config", "bad.hcl"); !strings.Contains(out, `bad.hcl:9:7: error: unknown attribute "shown"; did you mean "show"?`) {
		t.Errorf("the check says\n%s", out)
	}

	lb := exec.Command("./lb-country", "-config", "lb.hcl")
	lb.Dir = dir
	var said lbtest.Output
	lb.Stdout, lb.Stderr = &said, &said
	if err := lb.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = lb.Process.Signal(os.Interrupt)
		if err := lb.Wait(); err != nil {
			t.Errorf("%v\n%s", err, said.String())
		}
	}()
	lbtest.Eventually(t, "it listens", func() bool {
		client := http.Client{Timeout: time.Second}
		response, err := client.Get("http://" + address + "/")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	for path, want := range map[string]string{
		"/": "200 DE country DE", "/blocked": "451  451 Unavailable For Legal Reasons: not available in this country", "/asked": "200  country FR",
	} {
		out := run(0, "curl", "-sS", "-H", "X-Country: forged", "-w", "|%{http_code} %header{x-country}", "http://"+address+path)
		body, status, _ := strings.Cut(out, "|")
		if got := fmt.Sprintf("%s %s", status, strings.TrimSpace(body)); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// free returns an unused address.
func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
