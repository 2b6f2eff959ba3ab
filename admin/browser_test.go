package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browse starts a browser that ends with the test.
func browse(t *testing.T) context.Context {
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // now, otherwise each tab would start a browser
		t.Fatal(err)
	}
	return ctx
}

// consoleErrors returns the errors in the console of a tab so far, and the uncaught exceptions.
func consoleErrors(t *testing.T, tab context.Context) func() []string {
	t.Helper()
	said := make(chan string, 100)
	err := chromedp.Listen(tab, func(event any) {
		text := ""
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				text = e.Entry.URL + ": " + e.Entry.Text
			}
		case *runtime.EventExceptionThrown:
			text = e.ExceptionDetails.Text
			if thrown := e.ExceptionDetails.Exception; thrown != nil {
				text += ": " + thrown.Description
			}
		}
		if text == "" {
			return
		}
		select {
		case said <- text:
		default: // a hundred will do
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() (all []string) {
		for len(said) > 0 {
			all = append(all, <-said)
		}
		return all
	}
}

// A page of another origin, in a real browser, reaches neither the API nor the profiler, but may link to the dashboard.
func TestForeignPageInBrowser(t *testing.T) {
	ctx := browse(t)
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
