package server_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"lb/admin"
	"lb/internal/lbtest"
)

const deniedAdmin = `
site "s" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/admin/" {
    deny = ["127.0.0.0/8"]
    proxy {
      pool = "app"
    }
  }
  route "/images/" {
    respond {
      body = "image"
    }
  }
  route "/api" {
    proxy {
      pool         = "app"
      strip_prefix = true
    }
  }
  route "/api/internal/" {
    respond {
      status = 403
    }
  }
}
pool "app" {
  backend "APP" {}
}
`

// targets is a backend that records the targets of all requests.
type targets struct {
	*lbtest.Backend
	mu  sync.Mutex
	all []string
}

func recordTargets(t testing.TB) *targets {
	b := &targets{}
	b.Backend = lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			b.mu.Lock()
			b.all = append(b.all, strings.Fields(head)[1])
			b.mu.Unlock()
			c.Send(lbtest.OK("x"))
		}
	})
	return b
}

func (b *targets) take() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all, b.all = b.all, nil
	return all
}

// TestAmbiguousPaths: no spelling of a path lets a client reach a route that is denied to it.
func TestAmbiguousPaths(t *testing.T) {
	b := recordTargets(t)
	lb := start(t, strings.ReplaceAll(deniedAdmin, "APP", b.Addr))
	refused := 0
	for _, tc := range []struct {
		path   string
		status int
		target string // at the backend
	}{
		{"/admin/", 403, ""},
		{"/x/../admin/y", 403, ""},
		{"/x%2f..%2fadmin/y", 403, ""},
		{"/admin/../x", 400, ""},
		{"/admin/..%2fx", 400, ""},
		{"/admin/%2e%2e/x", 400, ""},
		{"/admin/..;/../x", 403, ""},
		{"/admin/../;x", 400, ""},
		{"/x/..;/admin/y", 400, ""},
		{"//x/admin/y", 400, ""},
		{"/admin%5cy", 400, ""},
		{`/x\..\admin\y`, 400, ""},
		{"/x/%252e%252e/admin/y", 400, ""},
		{"/x/..%c0%afadmin/y", 200, "/x/..%c0%afadmin/y"}, // no slash in any encoding of today
		{"/images/../x", 400, ""},
		{"/images//x", 200, ""},
		{"//images/x", 200, ""},
		{"/x/a/../b", 200, "/x/a/../b"},
		{"/files/a%2fb", 200, "/files/a%2fb"},
		{"/a//b", 200, "/a//b"},
		{"/a;b/c", 200, "/a;b/c"},
		{"/a//b;c", 400, ""},
		{"/api/a", 200, "/a"},
		{"/api", 200, "/"},
		{"/apix", 200, "/apix"}, // a prefix that is cut off ends with a segment
		{"/apiinternal/x", 200, "/apiinternal/x"},
		{"/api//internal/x", 403, ""},
		{"/api/internal/../x", 400, ""},
		{"/api///evil/x", 200, "/evil/x"},
	} {
		r := lb.get(tc.path)
		if tc.status == 400 {
			refused++
		}
		got := strings.Join(b.take(), " ")
		if r.Status() != tc.status || got != tc.target {
			t.Errorf("%s: %d with %q at the backend, want %d with %q", tc.path, r.Status(), got, tc.status, tc.target)
		}
		e := lb.explain(admin.Question{URL: "http://a:PORT" + tc.path, Client: "127.0.0.1"})
		if explained := e.Response; (explained == nil) != (tc.target != "") || explained != nil && explained.Status != tc.status {
			t.Errorf("%s: explained as %+v, want %d", tc.path, explained, tc.status)
		}
	}
	lb.wantMetric(`lb_rejected_requests_total{reason="ambiguous_path"}`, strconv.Itoa(refused))
	for path, want := range map[string]string{
		"/admin%5cy":      `a backend may read it as "/admin/y", which matches route "/admin/"; ambiguous_paths = "allow"`,
		"/admin/..%2fx":   "backends decode and clean it in different orders",
		"/images/../x":    `matches route "/images/"`,
		"/admin;v=1/../x": "backends decode and clean it",
	} {
		if e := lb.explain(admin.Question{URL: "http://a:PORT" + path, Client: "127.0.0.1"}); e.Response == nil || !strings.Contains(e.Response.Reason, want) {
			t.Errorf("%s: %+v, want %q", path, e.Response, want)
		}
	}
}

// TestAmbiguousPathsAllowed: an ambiguous path is allowed only if every route that it may mean allows it.
func TestAmbiguousPathsAllowed(t *testing.T) {
	b := recordTargets(t)
	text := `
site "s" {
  route "/" {
    ambiguous_paths = "allow"
    proxy {
      pool = "app"
    }
  }
  route "/v2/" {
    ambiguous_paths = "allow"
    request_headers {
      set = { "X-V" = "2" }
    }
    proxy {
      pool = "app"
    }
  }
  MORE
}
pool "app" {
  backend "` + b.Addr + `" {}
}
`
	lb := start(t, strings.ReplaceAll(text, "MORE", ""))
	for _, path := range []string{"/v2/../x", "//v2/x", "/x/..%2fv2/y"} {
		if r := lb.get(path); r.Status() != 200 || strings.Join(b.take(), " ") != path {
			t.Errorf("%s: %d", path, r.Status())
		}
	}
	if err := lb.reload(strings.ReplaceAll(text, "MORE", "route \"/admin/\" {\n  respond {\n    status = 403\n  }\n}")); err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{"/v2/../x": 200, "//v2/x": 200, "/x/..%2fv2/y": 400, "/admin/../x": 400} {
		if r := lb.get(path); r.Status() != status {
			t.Errorf("%s: %d, want %d", path, r.Status(), status)
		}
	}
}
