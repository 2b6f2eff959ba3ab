package server_test

import (
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestRegexpRoutes: regular expressions choose routes, and their groups make redirects and rewritten paths, which cannot leave their place.
func TestRegexpRoutes(t *testing.T) {
	back := record(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	r := start(t, `
site "s" {
  route "~ ^/item/(?P<id>[^/]+)$" {
    redirect {
      to = "/new/{id}"
    }
  }
  route "~ ^/go/(.*)$" {
    redirect {
      to = "/{1}"
    }
  }
  route "~ ^/v(1|2)/(.*)\\.(.*)$" {
    proxy {
      pool    = "app"
      rewrite = "/api/{2}.{3}?version={1}"
    }
  }
  route "~ ^/join/(.*)x(.*)$" {
    proxy {
      pool    = "app"
      rewrite = "/{1}{2}"
    }
  }
  route "~ ^/admin.*$" {
    respond {
      body = "admin"
    }
  }
  route "/search" {
    query = {
      "beta" = "1"
    }
    respond {
      body = "beta"
    }
  }
  route "/search" {
    respond {
      body = "search"
    }
  }
  route "/" {
    respond {
      body = "rest"
    }
  }
}
pool "app" {
  backend "`+back.Addr+`" {}
}
`)
	for _, c := range []struct {
		target string
		status int
		want   string // the Location, the target at the backend, or the body
	}{
		{"/item/5?a=b", 308, "/new/5?a=b"},
		{"/item/%0d%0aX:%20y", 308, "/new/%0D%0AX:%20y"},
		{"/go//evil.example", 308, "/evil.example"},
		{"/go/%2fevil.example", 308, "/evil.example"},
		{"/go/%5cevil.example", 308, "/%5Cevil.example"},
		{"/v1/a/b.txt", 200, "/api/a/b.txt?version=1"},
		{"/v3/a/b.txt", 200, "rest"},
		{"/join/axb", 200, "/ab"},
		{"/join/x/evil", 200, "/evil"},
		{"/join/.x./secret", 400, ""},
		{"/join/a/.x./secret", 400, ""},
		{"/join/%2e%78%2e", 400, ""},
		{"/admin/x", 200, "admin"},
		{"/admin%0a", 200, "admin"},
		{"/admin/%0a/x", 200, "admin"},
		{"/admin%ff", 200, "admin"},
		{"/search?beta=1", 200, "beta"},
		{"/search?beta=2", 200, "search"},
	} {
		got := r.get(c.target)
		text := got.Body
		switch {
		case got.Status() == 308:
			text = got.Field("Location")
		case got.Status() == 200 && text == "":
			head, _ := back.last()
			text = strings.Fields(head)[1]
		case got.Status() == 400:
			text = ""
		}
		if got.Status() != c.status || text != c.want {
			t.Errorf("%s: %d %s, want %d %s", c.target, got.Status(), text, c.status, c.want)
		}
	}
	if e := r.admin("GET", "/api/v1/explain?url=http://x/item/5"); !strings.Contains(e, "the first regular expression that matches") || !strings.Contains(e, "/new/5") {
		t.Error(e)
	}
	if e := r.admin("GET", "/api/v1/explain?url=http://x/search"); !strings.Contains(e, "requires other values in the query") {
		t.Error(e)
	}
	lbtest.Eventually(t, "the log", func() bool { return strings.Contains(r.read("access.log"), `"route":"~ ^/item/(?P<id>[^/]+)$"`) })
}
