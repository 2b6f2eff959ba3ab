package server_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"lb/admin"
	"lb/internal/cli"
	"lb/internal/lbtest"
)

// TestRateLimit: a client's burst passes, then it gets 429, also after a reload; others are not concerned.
func TestRateLimit(t *testing.T) {
	text := `
trusted_proxies = ["127.0.0.1"]
site "s" {
  route "/" {
    rate_limit {
      rate  = "1/h"
      burst = 3
    }
    rate_limit {
      key   = "header:X-Api-Key"
      rate  = "60/m"
      burst = 100
    }
    respond {
      body = "ok"
    }
  }
  route "/other" {
    respond {}
  }
}
`
	r := start(t, text)
	for i := range 3 {
		got := r.get("/", "X-Forwarded-For: 192.0.2.1")
		if got.Status() != 200 || !strings.HasPrefix(got.Field("RateLimit-Policy"), `"default";q=1;w=3600`) || !strings.HasPrefix(got.Field("RateLimit"), `"default";r=`+strconv.Itoa(2-i)+`;t=`) {
			t.Errorf("request %d: %q", i, got.Head)
		}
	}
	if err := r.reload(strings.Replace(text, `body = "ok"`, `body = "new"`, 1)); err != nil {
		t.Fatal(err)
	}
	refused := r.get("/", "X-Forwarded-For: 192.0.2.1")
	if after, _ := strconv.Atoi(refused.Field("Retry-After")); refused.Status() != 429 || after < 3590 || after > 3600 {
		t.Errorf("%q", refused.Head)
	}
	if !strings.Contains(refused.Head, `"limit-2";q=60;w=60`) || !strings.HasPrefix(refused.Field("RateLimit"), `"default";r=0;t=`) {
		t.Errorf("%q", refused.Head)
	}
	if got := r.get("/", "X-Forwarded-For: 192.0.2.2"); got.Status() != 200 || got.Body != "new" {
		t.Errorf("another client: %q", got.Head)
	}
	if got := r.get("/other", "X-Forwarded-For: 192.0.2.1"); got.Status() != 200 || got.Field("RateLimit") != "" {
		t.Errorf("another route: %q", got.Head)
	}
	r.wantMetric(`lb_limit_decisions_total{route="/",result="limited"}`, "1")
	r.wantMetric(`lb_rejected_requests_total{reason="rate_limit"}`, "1")
	e, err := (&cli.Client{Addr: r.AdminAddr().String()}).Explain(t.Context(), admin.Question{URL: "http://x/", Client: "192.0.2.1"})
	if err != nil || e.Response == nil || e.Response.Status != 429 || e.Rules[0].Text != "1 an hour by client_ip, burst 3" {
		t.Errorf("%+v %v", e, err)
	}
	r.wantMetric(`lb_limit_decisions_total{route="/",result="limited"}`, "1")
	if err := r.reload("site \"s\" {\n  route \"/\" {\n    respond {}\n  }\n}\n"); err != nil {
		t.Fatal(err)
	}
	if got := r.metric(`lb_limit_decisions_total{route="/",result="limited"}`); got != "" {
		t.Errorf("the series is still there: %s", got)
	}
}

// TestConcurrencyLimit: a place is free again when a request ends, in whatever way.
func TestConcurrencyLimit(t *testing.T) {
	asked, release := make(chan bool, 10), make(chan bool, 10)
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			asked <- true
			<-release
			c.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	r := start(t, `
site "s" {
  route "/" {
    concurrency {
      limit = 1
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
	first := r.dial()
	first.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	lbtest.Wait(t, "the request", asked)
	if got := r.get("/"); got.Status() != 429 || got.Field("Retry-After") != "1" {
		t.Errorf("%q", got.Head)
	}
	release <- true
	if got := first.ReadResponse("GET"); got.Status() != 200 {
		t.Errorf("%q", got.Head)
	}
	second := r.dial()
	second.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	lbtest.Wait(t, "the request", asked)
	second.Close() // the client disconnects
	release <- true
	release <- true
	lbtest.Eventually(t, "a free place", func() bool { return r.get("/").Status() == 200 })
}

// TestLimitByClaim: a user has one limit, whatever the address and the token, and a request without a token counts for no one.
func TestLimitByClaim(t *testing.T) {
	set, sign := tokenKey(t, "1")
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(set)) }))
	t.Cleanup(keys.Close)
	r := start(t, `
trusted_proxies = ["127.0.0.1"]
site "s" {
  route "/" {
    rate_limit {
      key   = "jwt:sub"
      rate  = "1/h"
      burst = 2
    }
    jwt {
      jwks   = "`+keys.URL+`"
      issuer = "https://login.example"
    }
    respond {}
  }
}
`)
	for i := range 4 {
		if got := r.get("/"); got.Status() != 401 || got.Field("RateLimit") != "" {
			t.Errorf("without a token, %d: %q", i, got.Head)
		}
	}
	for i, want := range []int{200, 200, 429} {
		got := r.get("/", sign("ann"), "X-Forwarded-For: 192.0.2."+strconv.Itoa(i))
		if got.Status() != want || !strings.HasPrefix(got.Field("RateLimit"), `"default";r=`+strconv.Itoa(max(0, 1-i))) {
			t.Errorf("request %d: %q", i, got.Head)
		}
	}
	if got := r.get("/", sign("bob")); got.Status() != 200 {
		t.Errorf("another user: %q", got.Head)
	}
	e, err := (&cli.Client{Addr: r.AdminAddr().String()}).Explain(t.Context(), admin.Question{URL: "http://x/"})
	if err != nil || len(e.Rules) != 2 || e.Rules[1].Text != "1 an hour by jwt:sub, burst 2" {
		t.Errorf("%+v %v", e, err)
	}
}

// TestSharedLimit: two processes have one limit in a Redis, also after a reload. Without Redis, requests pass or are refused.
func TestSharedLimit(t *testing.T) {
	redis := lbtest.StartRedis(t, "--requirepass", "hunter22")
	text := `
trusted_proxies = ["127.0.0.1"]
site "s" {
  route "/" {
    rate_limit {
      rate  = "1/h"
      burst = 4
      redis = "redis://:hunter22@` + redis.Addr + `"
    }
    respond {}
  }
  route "/closed" {
    rate_limit {
      rate       = "1/h"
      burst      = 4
      redis      = "redis://:hunter22@` + redis.Addr + `"
      redis_down = "closed"
    }
    respond {}
  }
}
`
	a, b := start(t, text), start(t, text)
	for i := range 8 {
		r, want := a, 200
		if i%2 == 1 {
			r = b
		}
		if i == 3 {
			if err := a.reload(text + "# changed\n"); err != nil {
				t.Fatal(err)
			}
		}
		if i >= 4 {
			want = 429
		}
		got := r.get("/", "X-Forwarded-For: 192.0.2.1")
		if open := r.metric(`lb_limit_decisions_total{route="/",result="open"}`); open != "0" {
			t.Skipf("redis takes longer than a request waits for it, %s times", open)
		}
		if after, _ := strconv.Atoi(got.Field("Retry-After")); got.Status() != want || want == 429 && (after < 3500 || after > 3600) {
			t.Errorf("request %d: %q", i, got.Head)
		}
	}
	up := `lb_limit_redis_up{redis="` + redis.Addr + `/0"}`
	a.wantMetric(up, "1")
	e, err := (&cli.Client{Addr: a.AdminAddr().String()}).Explain(t.Context(), admin.Question{URL: "http://x/", Client: "192.0.2.1"})
	if err != nil || e.Response == nil || e.Response.Status != 429 || e.Rules[0].Text != "1 an hour by client_ip, burst 4, of all that use redis "+redis.Addr+"/0" {
		t.Errorf("%+v %v", e, err)
	}
	redis.Kill()
	lbtest.Eventually(t, "the loss", func() bool {
		return a.get("/closed", "X-Forwarded-For: 192.0.2.3").Status() == 503 && a.metric(up) == "0"
	})
	for i := range 10 {
		if got := a.get("/", "X-Forwarded-For: 192.0.2.3"); got.Status() != 200 {
			t.Errorf("request %d: %q", i, got.Head)
		}
	}
	if got := a.metric(`lb_limit_decisions_total{route="/",result="open"}`); got == "" || got == "0" {
		t.Errorf("%s decisions without redis", got)
	}
	redis.Start(t)
	a.wantMetric(up, "1")
	if got := a.get("/closed", "X-Forwarded-For: 192.0.2.3"); got.Status() != 200 {
		t.Errorf("%q", got.Head)
	}
	if log := a.read("lb.log") + a.admin("GET", "/api/v1/config") + a.admin("GET", "/metrics"); strings.Contains(log, "hunter22") {
		t.Error("the password is shown")
	}
	if err := a.reload("site \"s\" {\n  route \"/\" {\n    respond {}\n  }\n}\n"); err != nil {
		t.Fatal(err)
	}
	if got := a.metric(up); got != "" {
		t.Errorf("the series is still there: %s", got)
	}
}
