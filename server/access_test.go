package server_test

import (
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"lb/internal/lbtest"
)

func userLine(t testing.TB, name, password string) string {
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + string(h) + "\n"
}

func basicAuth(credentials string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

// replaceFile puts another file in the place of one, as an editor does.
func replaceFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestBasicAuth: the right password passes and reaches the backend, the user is in the log, and a replaced file is used.
func TestBasicAuth(t *testing.T) {
	back := record(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	dir := writeFiles(t, map[string]string{"users": userLine(t, "ann", "secret")})
	r := start(t, `
site "s" {
  route "/" {
    basic_auth {
      users_file = "`+dir+`/users"
      realm      = "clock"
    }
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "`+back.Addr+`" {}
}
`)
	if got := r.get("/"); got.Status() != 401 || got.Field("WWW-Authenticate") != `Basic realm="clock", charset="UTF-8"` {
		t.Errorf("%q", got.Head)
	}
	if got := r.get("/", basicAuth("ann:wrong")); got.Status() != 401 {
		t.Errorf("%q", got.Head)
	}
	for range 2 {
		if got := r.get("/", basicAuth("ann:secret")); got.Status() != 200 {
			t.Errorf("%q", got.Head)
		}
	}
	if head, _ := back.last(); !strings.Contains(head, basicAuth("ann:secret")+"\r\n") {
		t.Errorf("%q", head)
	}
	lbtest.Eventually(t, "the user in the log", func() bool { return strings.Count(r.read("access.log"), `"user":"ann"`) == 2 })
	r.wantMetric(`lb_rejected_requests_total{reason="auth"}`, "2")
	replaceFile(t, dir+"/users", "ann:$apr1$a$b\n") // the users stay as they were
	lbtest.Eventually(t, "an error in the log", func() bool { return strings.Contains(r.read("lb.log"), "MD5 of Apache") })
	if got := r.get("/", basicAuth("ann:secret")); got.Status() != 200 {
		t.Errorf("%q", got.Head)
	}
	replaceFile(t, dir+"/users", userLine(t, "ann", "changed"))
	lbtest.Eventually(t, "the changed password", func() bool { return r.get("/", basicAuth("ann:changed")).Status() == 200 })
	if got := r.get("/", basicAuth("ann:secret")); got.Status() != 401 {
		t.Errorf("%q", got.Head)
	}
}

// TestDenyFile: a replaced list is used, one that cannot be read is not.
func TestDenyFile(t *testing.T) {
	dir := writeFiles(t, map[string]string{"denied": "192.0.2.1 # a scanner\n", "allowed": "192.0.2.0/24\n2001:db8::/32\n"})
	r := start(t, `
trusted_proxies = ["127.0.0.1"]
site "s" {
  route "/" {
    deny_file  = "`+dir+`/denied"
    allow_file = "`+dir+`/allowed"
    respond {}
  }
}
`)
	status := func(client string) int { return r.get("/", "X-Forwarded-For: "+client).Status() }
	for client, want := range map[string]int{"192.0.2.1": 403, "192.0.2.2": 200, "2001:db8::1": 200, "198.51.100.1": 403} {
		if got := status(client); got != want {
			t.Errorf("%s: %d, want %d", client, got, want)
		}
	}
	replaceFile(t, dir+"/denied", "192.0.2.300\n")
	lbtest.Eventually(t, "an error in the log", func() bool { return strings.Contains(r.read("lb.log"), "line 1 is not a network") })
	if got := status("192.0.2.1"); got != 403 {
		t.Errorf("%d", got)
	}
	pipe := dir + "/pipe"
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Rename(pipe, dir+"/denied")); err != nil { // reading it would never end
		t.Fatal(err)
	}
	lbtest.Eventually(t, "another error in the log", func() bool { return strings.Contains(r.read("lb.log"), "it is not a regular file") })
	replaceFile(t, dir+"/denied", "192.0.2.2\n")
	lbtest.Eventually(t, "the new list", func() bool { return status("192.0.2.2") == 403 })
	if got := status("192.0.2.1"); got != 200 {
		t.Errorf("%d", got)
	}
	if e := r.admin("GET", "/api/v1/explain?url=http://x/&client=192.0.2.2"); !strings.Contains(e, "1 networks of "+dir+"/denied: 192.0.2.2 is refused") {
		t.Error(e)
	}
}

// TestCORS: preflight requests do not need the password, and find a route that does not allow OPTIONS.
func TestCORS(t *testing.T) {
	dir := writeFiles(t, map[string]string{"users": userLine(t, "ann", "secret")})
	r := start(t, `
site "s" {
  route "/" {
    methods        = ["GET"]
    secure_headers = true
    cors {
      origins     = ["https://app.example"]
      credentials = true
      max_age     = "10m"
    }
    basic_auth {
      users_file = "`+dir+`/users"
    }
    respond {}
  }
}
`)
	c := r.dial()
	for range 2 { // on one connection
		c.Send("OPTIONS / HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n\r\n")
		got := c.ReadResponse("OPTIONS")
		if got.Status() != 204 || got.Field("Access-Control-Allow-Origin") != "https://app.example" || got.Field("Access-Control-Allow-Credentials") != "true" ||
			got.Field("Access-Control-Allow-Methods") != "GET, HEAD, POST" || got.Field("Access-Control-Max-Age") != "600" || strings.Contains(got.Head, "Content-Length") {
			t.Errorf("%q", got.Head)
		}
	}
	c.Send("OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := c.ReadResponse("OPTIONS"); got.Status() != 405 || got.Field("Allow") != "GET" {
		t.Errorf("%q", got.Head)
	}
	if got := r.get("/", "Origin: https://app.example"); got.Status() != 401 || got.Field("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("%q", got.Head)
	}
	got := r.get("/", "Origin: https://evil.test", basicAuth("ann:secret"))
	if got.Status() != 200 || got.Field("Access-Control-Allow-Origin") != "" || got.Field("X-Frame-Options") != "SAMEORIGIN" || got.Field("Strict-Transport-Security") != "" {
		t.Errorf("%q", got.Head)
	}
}
