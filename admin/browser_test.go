package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"lb/pool"
)

// browse starts a browser that ends with the test, and collects what its console complains of.
func browse(t *testing.T) (ctx context.Context, complaints func() []string) {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, _ = exec.LookPath(name); path != "" {
			break
		}
	}
	if path == "" || testing.Short() {
		t.Skip("no browser, or a short test")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	said := make(chan string, 100)
	err := chromedp.Listen(ctx, func(event any) {
		if e, is := event.(*log.EventEntryAdded); is && e.Entry.Level == log.EntryLevelError {
			select {
			case said <- e.Entry.URL + ": " + e.Entry.Text:
			default: // a hundred will do
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return ctx, func() (all []string) {
		for len(said) > 0 {
			all = append(all, <-said)
		}
		return all
	}
}

// A page of another origin, in a real browser, reaches neither the API nor the profiler, but may link to the dashboard.
func TestForeignPageInBrowser(t *testing.T) {
	ctx, _ := browse(t)
	pools, _ := twoPools()
	events := &Events{}
	var asked atomic.Int32
	address := serve(t, Options{Pools: pools, Events: events, Status: func() Status { asked.Add(1); return Status{} }})
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<a id="link" href="http://%[1]s/">dashboard</a><script>
			const tries = ["/api/v1/status", "/debug/pprof/trace?seconds=1"].map(path => fetch("http://%[1]s" + path, {mode: "no-cors"}));
			tries.push(new Promise(done => Object.assign(new Image(), {onload: done, onerror: done, src: "http://%[1]s/api/v1/status"})));
			tries.push(new Promise(done => new EventSource("http://%[1]s/api/v1/events").onerror = done));
			Promise.allSettled(tries).then(() => document.body.append(Object.assign(document.createElement("p"), {id: "done"})));
		</script>`, address)
	}))
	defer page.Close()
	_, port, _ := net.SplitHostPort(page.Listener.Addr().String())
	for _, origin := range []string{"http://localhost:" + port, "http://127.0.0.1:" + port} {
		if err := chromedp.Do(ctx, chromedp.Navigate(origin), chromedp.WaitReady(chromedp.CSS("#done"))); err != nil {
			t.Fatal(err)
		}
		if asked.Load() != 0 || readers(events) != 0 {
			t.Errorf("%s had the status %d times, and has %d streams of events", origin, asked.Load(), readers(events))
		}
	}
	err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS("#link")), chromedp.WaitVisible(chromedp.Search(`//*[contains(., "127.0.0.1:5000")]`)))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dashboard's own requests", func() bool { return asked.Load() > 0 && readers(events) == 1 })
}

// The page runs under its own policy, shows the pools, and its buttons work; after a login, too.
func TestDashboardInBrowser(t *testing.T) {
	ctx, complaints := browse(t)
	pools, registry := twoPools()
	events := &Events{}
	base := "http://" + serve(t, Options{Token: testToken, Pools: pools, Registry: registry, Events: events,
		Status: func() Status { return Status{Version: "v7", Ready: true, Started: time.Now()} }})
	b := pools()[0].Backend("127.0.0.1:5001")

	err := chromedp.Do(ctx,
		chromedp.Navigate(base+"/"),
		chromedp.SendKeys(chromedp.CSS("#token"), testToken+"\r"),
		chromedp.WaitVisible(chromedp.CSS(`button[data-key="app 127.0.0.1:5001 drain"]`)),
	)
	if err != nil {
		t.Fatal(err)
	}
	text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"127.0.0.1:5000", "unix:/run/app.sock", `odd "pool"/x`, "backup", "2 of 2 usable"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	eventually(t, "a reader of events", func() bool { return readers(events) == 1 })
	events.Publish("backend", pool.Event{Time: time.Now(), Pool: "app", Backend: "<b>x</b>", From: "up", To: "down", Reason: "test"})
	err = chromedp.Do(ctx,
		chromedp.WaitVisible(chromedp.Search(`//li[contains(., "app <b>x</b>: up → down (test)")]`)),
		chromedp.Click(chromedp.CSS(`button[data-key="app 127.0.0.1:5001 drain"]`)),
		chromedp.WaitVisible(chromedp.CSS(`button[data-key="app 127.0.0.1:5001 ready"]`)),
	)
	if err != nil {
		t.Fatal(err)
	}
	if b.AdminState() != pool.Drain {
		t.Errorf("after the click the backend is %v", b.AdminState())
	}
	for _, c := range complaints() {
		if !strings.Contains(c, "401") && !strings.Contains(c, "favicon") { // the login page is a 401
			t.Errorf("the browser complains: %s", c)
		}
	}
}
