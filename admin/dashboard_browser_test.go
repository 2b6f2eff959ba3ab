package admin

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"lb/pool"
)

// The dashboard in a real browser, which is one for all parts, as its start takes long.
func TestDashboardInBrowser(t *testing.T) {
	browser := browse(t)
	for _, part := range []struct {
		name string
		test func(*testing.T, context.Context)
	}{
		{"pools", dashboardShowsPools},
		{"clicks", dashboardClicksLand},
		{"moves", dashboardHoldsStillUnderPointer},
		{"in place", dashboardUpdatesInPlace},
		{"members", dashboardFollowsMembers},
		{"narrow", dashboardFitsNarrowScreen},
		{"last one", dashboardAsksBeforeLast},
		{"reload", dashboardShowsFailedReload},
		{"certificates", dashboardShowsCertificates},
		{"events", dashboardShowsPastEvents},
		{"connection", dashboardSaysThatItIsStale},
		{"logout", dashboardLogsOut},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, browser) })
	}
}

// Everything is shown, as text.
func dashboardShowsPools(t *testing.T, browser context.Context) {
	pools, registry := twoPools()
	b := open(t, browser, serveDashboard(t, Options{Pools: pools, Registry: registry, Events: &Events{},
		Status: func() Status { return Status{Version: "v7", Ready: true, Started: time.Now()} }}), 1280, 800)
	b.wait(`document.body.innerText.includes("Ready")`)
	text := b.text("document.body.innerText")
	for _, want := range []string{"v7", "127.0.0.1:5000", "unix:/run/app.sock", `odd "pool"/x`, "backup", "2 of 2 usable"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	b.look("pools")
}

// Every click works, though the page is updated while the button is down.
func dashboardClicksLand(t *testing.T, browser context.Context) {
	p := replicas("127.0.0.1:5000", "127.0.0.1:5001")
	var changes atomic.Int32
	b := open(t, browser, serveDashboard(t, Options{Pools: only(p), Change: func(do func()) error { changes.Add(1); do(); return nil }}), 1280, 800)
	b.run("setInterval(refresh, 7)")
	const clicks = 60
	for i := range clicks {
		state := []string{"drain", "ready", "maint"}[i%3]
		b.wait(button("app", "127.0.0.1:5001", state))
		x, y := b.centre(button("app", "127.0.0.1:5001", state))
		b.press(x, y)
		b.run("refresh()")
		b.release(x, y)
	}
	eventually(t, fmt.Sprintf("%d clicks, but %d changes", clicks, changes.Load()), func() bool { return changes.Load() == clicks })
	if got := p.Backend("127.0.0.1:5001").AdminState(); got != pool.Maint {
		t.Errorf("at the end it is %v", got)
	}
}

// The button under a pressed pointer stays there until it is released, and the click is for its backend.
func dashboardHoldsStillUnderPointer(t *testing.T, browser context.Context) {
	p := replicas("127.0.0.1:5001", "127.0.0.1:5002")
	b := open(t, browser, serveDashboard(t, Options{Pools: only(p)}), 1280, 800)
	x, y := b.centre(button("app", "127.0.0.1:5001", "drain"))
	b.press(x, y)
	p.SetMembers(pool.SourceConfig, members("127.0.0.1:4999", "127.0.0.1:5000", "127.0.0.1:5001", "127.0.0.1:5002"))
	b.run("refresh()")
	b.release(x, y)
	eventually(t, "the order", func() bool { return p.Backend("127.0.0.1:5001").AdminState() == pool.Drain })
	b.wait(button("app", "127.0.0.1:5000", "drain")) // drawn after the release
	if got := p.Backend("127.0.0.1:4999").AdminState(); got != pool.Ready {
		t.Errorf("the backend that came there is %v", got)
	}
}

// Elements, the focus, the selection and scroll positions survive updates.
func dashboardUpdatesInPlace(t *testing.T, browser context.Context) {
	p := replicas("127.0.0.1:5000", "127.0.0.1:5001", "127.0.0.1:5002", "127.0.0.1:5003", "127.0.0.1:5004", "127.0.0.1:5005")
	b := open(t, browser, serveDashboard(t, Options{Pools: only(p)}), 800, 300)
	row := func(address string) string {
		return "[...document.querySelectorAll('#pools tbody tr')].find(r => r.firstChild.innerText === '" + address + "')"
	}
	b.run(`document.querySelectorAll("#pools *").forEach(e => e.known = true);
		document.querySelector(".scroll").scrollLeft = 150; scrollTo(0, 120);
		` + button("app", "127.0.0.1:5002", "ready") + `.focus({preventScroll: true});
		const s = getSelection(); s.setBaseAndExtent(` + row("127.0.0.1:5001") + `.cells[1].firstChild.firstChild, 0, ` + row("127.0.0.1:5003") + `.cells[0].firstChild, 9);
		void 0`)
	selected := b.text("getSelection()")
	p.SetAdmin(p.Backend("127.0.0.1:5000"), pool.Drain, "a test")
	p.SetAdmin(p.Backend("127.0.0.1:5002"), pool.Maint, "a test")
	b.wait(row("127.0.0.1:5000") + ".cells[1].innerText.includes('drain')")
	b.wait(row("127.0.0.1:5002") + ".cells[1].innerText.includes('maint')")
	for _, expression := range []string{
		`[...document.querySelectorAll("#pools *")].every(e => e.known)`,
		`document.querySelector(".scroll").scrollLeft === 150`, `scrollY === 120`,
		`document.activeElement === ` + button("app", "127.0.0.1:5002", "ready"),
		button("app", "127.0.0.1:5002", "maint") + `.getAttribute("aria-pressed") === "true"`,
	} {
		if !b.is(expression) {
			t.Errorf("after an update it is false that %s", expression)
		}
	}
	if !strings.HasPrefix(selected, "up") || !strings.HasSuffix(selected, "127.0.0.1") {
		t.Fatalf("%q is selected before the update", selected)
	}
	now := b.text("getSelection()")
	if first, last := strings.Fields(now)[0], strings.HasSuffix(now, "127.0.0.1"); !strings.HasPrefix(first, "up") || !last {
		t.Errorf("%q was selected, and now %q", selected, now)
	}
	// Selected text does not change while it is selected.
	p.SetAdmin(p.Backend("127.0.0.1:5001"), pool.Drain, "a test")
	b.wait(button("app", "127.0.0.1:5001", "drain") + `.getAttribute("aria-pressed") === "true"`)
	if !b.is(row("127.0.0.1:5001") + ".cells[1].innerText.startsWith('up')") {
		t.Error("a text was changed that the selection begins in")
	}
	b.run("getSelection().removeAllRanges()")
	b.wait(row("127.0.0.1:5001") + ".cells[1].innerText.startsWith('drain')")
}

// Backends are added, removed and reordered; those that remain keep their elements and the focus.
func dashboardFollowsMembers(t *testing.T, browser context.Context) {
	p, other := replicas("127.0.0.1:5000", "127.0.0.1:5001", "127.0.0.1:5002"), pool.New(pool.Options{Name: "other"})
	var pools atomic.Pointer[[]*pool.Pool]
	pools.Store(&[]*pool.Pool{p})
	b := open(t, browser, serveDashboard(t, Options{Pools: func() []*pool.Pool { return *pools.Load() }}), 1280, 800)
	b.run(`document.querySelectorAll("tbody tr, section.pool").forEach(e => e.known = e.querySelector("h2, th").innerText);
		` + button("app", "127.0.0.1:5002", "drain") + `.focus()`)
	p = replicas("127.0.0.1:5002", "127.0.0.1:5003", "127.0.0.1:5000")
	pools.Store(&[]*pool.Pool{other, p})
	b.wait(`[...document.querySelectorAll("tbody th")].map(e => e.innerText).join() === "127.0.0.1:5002,127.0.0.1:5003,127.0.0.1:5000"`)
	for _, expression := range []string{
		`[...document.querySelectorAll("tbody tr")].map(e => e.known || "new").join() === "127.0.0.1:5002,new,127.0.0.1:5000"`,
		`[...document.querySelectorAll("section.pool")].map(e => e.known || "new").join() === "new,app"`,
		`document.activeElement === ` + button("app", "127.0.0.1:5002", "drain"),
	} {
		if !b.is(expression) {
			t.Errorf("it is false that %s", expression)
		}
	}
}

// On a phone nothing is wider than the screen, and updates keep the scroll position.
func dashboardFitsNarrowScreen(t *testing.T, browser context.Context) {
	p := replicas("127.0.0.1:5000", "127.0.0.1:5001", "backend-with-a-long-name-1.production.example.com:50001")
	b := open(t, browser, serveDashboard(t, Options{Pools: only(p), Events: &Events{}, Status: refusedReload}), 360, 640)
	b.wait(`document.body.innerText.includes("Show why")`)
	b.look("narrow")
	if !b.is("document.documentElement.scrollWidth <= 360") {
		t.Errorf("the page is %s pixels wide", b.text("document.documentElement.scrollWidth"))
	}
	b.run("scrollTo(0, 300)")
	tops := `[...document.querySelectorAll("tbody tr")].map(e => e.getBoundingClientRect().top).join()`
	before := b.text(tops)
	p.SetAdmin(p.Backend("127.0.0.1:5000"), pool.Maint, "a long reason: "+strings.Repeat("for maintenance ", 10))
	b.wait(`document.querySelector("tbody td").innerText.includes("maint")`)
	if after := b.text(tops); after != before || !b.is("scrollY === 300") {
		t.Errorf("the rows are at %s after an update, before at %s; scrolled to %s", after, before, b.text("scrollY"))
	}
}

// Only for the last usable backend is there a confirmation, and it is taken out only after that.
func dashboardAsksBeforeLast(t *testing.T, browser context.Context) {
	p := replicas("127.0.0.1:5000", "127.0.0.1:5001")
	first, last := p.Backend("127.0.0.1:5000"), p.Backend("127.0.0.1:5001")
	b := open(t, browser, serveDashboard(t, Options{Pools: only(p)}), 1280, 800)
	// The second click happens before the first one's request has been processed.
	b.click(button("app", "127.0.0.1:5000", "drain"))
	b.click(button("app", "127.0.0.1:5001", "maint"))
	b.wait(`byId("dialog").open`)
	if first.AdminState() != pool.Drain || last.AdminState() != pool.Ready {
		t.Errorf("while it asks, they are %v and %v", first.AdminState(), last.AdminState())
	}
	if text := b.text(`byId("dialog").innerText`); !strings.Contains(text, "127.0.0.1:5001") || !strings.Contains(text, "503") || !strings.Contains(text, "maintenance page") {
		t.Errorf("it asks %q", text)
	}
	if !b.is(`document.activeElement.innerText === "Cancel"`) {
		t.Error("the focus is not on Cancel")
	}
	b.look("last")
	b.do(chromedp.KeyEvent(kb.Escape))
	b.wait(`!byId("dialog").open`)
	b.click(button("app", "127.0.0.1:5001", "drain"))
	b.wait(`byId("dialog").open`)
	if last.AdminState() != pool.Ready {
		t.Errorf("after a no it is %v", last.AdminState())
	}
	b.click(`byId("dialog-yes")`)
	eventually(t, "a drain after the yes", func() bool { return last.AdminState() == pool.Drain })
	// A pool without a usable backend needs no confirmation.
	b.click(button("app", "127.0.0.1:5001", "maint"))
	eventually(t, "maint without a question", func() bool { return last.AdminState() == pool.Maint })
	b.wait(`document.querySelector(".facts").innerText.includes("503")`)
}

func refusedReload() Status {
	now := time.Now()
	return Status{Version: "v7", Config: "/etc/lb/lb.hcl", Ready: true, Started: now.Add(-time.Hour), InForce: now.Add(-time.Hour), Reload: &Reload{
		Time: now, Error: "the configuration has errors:\n…",
		Diagnostics: []Diagnostic{
			{Severity: "error", File: "/etc/lb/lb.hcl", Line: 7, Column: 3, Summary: `there is no attribute "balence" <b>here</b>`,
				Detail: `Did you mean "balance"?`, Source: `  balence = "first"`},
			{Severity: "warning", File: "/etc/lb/lb.hcl", Line: 9, Column: 1, Summary: `pool "spare" is not used`},
		},
	}}
}

// A refused reload is shown with its diagnostics until one succeeds.
func dashboardShowsFailedReload(t *testing.T, browser context.Context) {
	var status atomic.Pointer[Status]
	good := Status{Ready: true, Started: time.Now(), InForce: time.Now(), Reload: &Reload{Time: time.Now(), OK: true}}
	status.Store(&good)
	b := open(t, browser, serveDashboard(t, Options{Pools: only(replicas("127.0.0.1:5000")), Events: &Events{}, Status: func() Status { return *status.Load() }}), 1280, 800)
	b.wait(`byId("reload").innerText.includes("Configuration in force since")`)
	top := b.text(`document.querySelector("tbody tr").getBoundingClientRect().top`)
	if !b.is(`byId("reload-link").hidden && byId("refusal").hidden && byId("diagnostics").children.length === 0`) {
		t.Error("without a failed reload it shows one")
	}
	bad := refusedReload()
	status.Store(&bad)
	b.wait(`byId("reload").innerText.includes("failed: lb still uses the configuration of")`)
	text := b.text(`byId("configuration").innerText`)
	for _, want := range []string{"/etc/lb/lb.hcl:7:3", `there is no attribute "balence" <b>here</b>`, `Did you mean "balance"?`, `balence = "first"`, `pool "spare" is not used`, "failed and changed nothing"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if now := b.text(`document.querySelector("tbody tr").getBoundingClientRect().top`); now != top {
		t.Errorf("the pools have moved from %s to %s", top, now)
	}
	b.look("reload")
	b.run(`byId("diagnostics").firstChild.known = true; getSelection().selectAllChildren(byId("diagnostics").firstChild)`)
	b.run(`refresh()`)
	if !b.is(`byId("diagnostics").firstChild.known && getSelection().toString().includes("balence")`) {
		t.Error("an update replaces the diagnostics")
	}
	// One that failed after the check has no diagnostics.
	inUse := bad
	inUse.Reload = &Reload{Time: time.Now(), Error: "cannot listen on 127.0.0.1:80: already in use"}
	status.Store(&inUse)
	b.wait(`byId("refusal-error").innerText.includes("already in use")`)
	status.Store(&good)
	b.wait(`byId("reload-link").hidden && byId("refusal").hidden && byId("refusal-error").hidden`)
}

// Certificates are shown with their state, if there are any.
func dashboardShowsCertificates(t *testing.T, browser context.Context) {
	var status atomic.Pointer[Status]
	status.Store(&Status{Ready: true, Started: time.Now()})
	b := open(t, browser, serveDashboard(t, Options{Pools: only(replicas("127.0.0.1:5000")), Events: &Events{}, Status: func() Status { return *status.Load() }}), 1280, 800)
	b.wait(`document.body.innerText.includes("Ready") && byId("certificates-section").hidden`)
	status.Store(&Status{Ready: true, Started: time.Now(), Certificates: []Certificate{
		{Subject: "old.example", Names: []string{"old.example"}, Issuer: "R1", NotAfter: time.Now().Add(-time.Hour), File: "/etc/lb/old.pem", State: "expired"},
		{Subject: "a.example", Names: []string{"a.example", "b.example"}, NotAfter: time.Now().Add(time.Hour), State: "broken", Error: "no <b>PEM</b>"},
	}})
	b.wait(`!byId("certificates-section").hidden && byId("certificates").children.length === 2`)
	text := b.text(`byId("certificates").innerText`)
	for _, want := range []string{"old.example expired, since ", "issued by R1; /etc/lb/old.pem", "a.example broken, until ", ": no <b>PEM</b>", "b.example"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	b.look("certificates")
}

// The list begins with what has happened, and an interruption neither repeats nor loses any of it.
func dashboardShowsPastEvents(t *testing.T, browser context.Context) {
	events := &Events{}
	publish := func(reason string) {
		events.Publish("backend", pool.Event{Time: time.Now(), Pool: "app", Backend: "<b>x</b>", From: "up", To: "down", Reason: reason})
	}
	publish("one")
	events.Publish("reload", *refusedReload().Reload)
	b := open(t, browser, serveDashboard(t, Options{Pools: only(replicas("127.0.0.1:5000")), Events: events}), 1280, 800)
	b.wait(`byId("events").children.length === 2`)
	if text := b.text(`byId("events").innerText`); !strings.Contains(text, "app <b>x</b>: up → down (one)") || !strings.Contains(text, "reload refused: /etc/lb/lb.hcl:7:3 there is no attribute") {
		t.Errorf("past events: %s", text)
	}
	publish("two")
	b.wait(`byId("events").firstChild.innerText.includes("two")`)
	events.mu.Lock()
	for reader := range events.readers {
		delete(events.readers, reader)
		close(reader)
	}
	events.mu.Unlock()
	publish("three")
	b.wait(`byId("events").firstChild.innerText.includes("three")`)
	publish("four")
	b.wait(`byId("events").firstChild.innerText.includes("four")`)
	b.run("listen()") // a stream that does not resume the previous one
	eventually(t, "a new stream", func() bool { return readers(events) == 1 })
	publish("five")
	b.wait(`byId("events").firstChild.innerText.includes("five")`)
	order := b.text(`[...byId("events").children].map(e => e.innerText.match(/one|two|three|four|five|reload/)[0]).join()`)
	if order != "five,four,three,two,reload,one" {
		t.Errorf("the events are %s", order)
	}
}

// While lb does not respond the page says so, and since when.
func dashboardSaysThatItIsStale(t *testing.T, browser context.Context) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, events := replicas("127.0.0.1:5000"), &Events{}
	o := Options{Pools: only(p), Events: events, Status: func() Status { return Status{} }}
	start := func(ln net.Listener) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		server := New(o)
		go func() { ended <- server.Serve(ctx, ln) }()
		stop = sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(stop)
		return stop
	}
	stop := start(ln)
	b := open(t, browser, ln.Addr().String(), 1280, 800)
	if !b.is(`byId("lost").hidden`) {
		t.Error("it is lost at once")
	}
	stop()
	b.wait(`byId("lost").innerText.includes("No response from lb since")`)
	if !b.is(`byId("pools").classList.contains("stale") && byId("pools").innerText.includes("127.0.0.1:5000")`) {
		t.Error("the last known data is missing, or is not marked")
	}
	b.look("stale")
	b.click(button("app", "127.0.0.1:5000", "ready"))
	b.wait(`byId("dialog").open && byId("dialog").innerText.includes("was not set to ready")`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.wait(`!byId("dialog").open`)
	if ln, err = net.Listen("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	start(ln)
	b.wait(`byId("lost").hidden && !byId("pools").classList.contains("stale")`)
	eventually(t, "a stream of events", func() bool { return readers(events) == 1 })
}

// A logout ends the session and shows the login.
func dashboardLogsOut(t *testing.T, browser context.Context) {
	pools, _ := twoPools()
	without := open(t, browser, serveDashboard(t, Options{Pools: pools}), 1280, 800)
	if !without.is(`document.querySelector("form") === null`) {
		t.Error("there is a logout without a login")
	}
	address := serveDashboard(t, Options{Token: testToken, Pools: pools, Events: &Events{}})
	ctx, cancel := chromedp.NewContext(browser)
	defer cancel()
	b := tab{t, ctx}
	b.do(chromedp.Navigate("http://"+address+"/"), chromedp.SendKeys(chromedp.CSS("#token"), testToken+"\r"), chromedp.WaitVisible(chromedp.CSS("#pools section")))
	b.look("logout")
	b.do(chromedp.Click(chromedp.CSS("header form button")), chromedp.WaitVisible(chromedp.CSS("#token")))
	b.do(chromedp.Navigate("http://"+address+"/"), chromedp.WaitVisible(chromedp.CSS("#token")))
	// Another tab switches to the login by itself.
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), testToken+"\r"), chromedp.WaitVisible(chromedp.CSS("#pools section")))
	second := open(t, browser, address, 1280, 800)
	second.do(chromedp.Click(chromedp.CSS("header form button")), chromedp.WaitVisible(chromedp.CSS("#token")))
	if _, err := chromedp.Call(b.ctx, cdppage.BringToFront, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.WaitVisible(chromedp.CSS("#token")))
}
