package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"lb/pool"
)

// tab is a browser's tab that shows a dashboard.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// harmless are expected errors: the login page is a 401, a server is stopped.
var harmless = regexp.MustCompile("401|favicon|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING")

// open shows a dashboard in a new tab, and waits for its pools.
func open(t *testing.T, browser context.Context, address string, width, height int64) tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	all := consoleErrors(t, ctx)
	t.Cleanup(func() {
		for _, c := range all() {
			if !harmless.MatchString(c) {
				t.Errorf("the browser reports: %s", c)
			}
		}
	})
	tab := tab{t, ctx}
	tab.do(chromedp.EmulateViewport(width, height), chromedp.Navigate("http://"+address+"/"),
		chromedp.WaitVisible(chromedp.CSS("#pools section")))
	return tab
}

func (b tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// run evaluates statements, and waits for their result if that is a promise.
func (b tab) run(statements string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](statements, chromedp.EvalAwaitPromise))
}

// is returns whether an expression is true.
func (b tab) is(expression string) bool {
	b.t.Helper()
	is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return is
}

// text returns an expression as text.
func (b tab) text(expression string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return text
}

// wait returns when an expression is true.
func (b tab) wait(expression string) {
	b.t.Helper()
	eventually(b.t, expression, func() bool { return b.is(expression) })
}

// button returns an expression for the button that sets a backend to a state.
func button(pool, backend, state string) string {
	key, _ := json.Marshal(pool + " " + backend + " " + state)
	return fmt.Sprintf("[...document.querySelectorAll('button')].find(b => b.dataset.key === %s)", key)
}

// centre scrolls an element into view and returns its middle.
func (b tab) centre(element string) (x, y float64) {
	b.t.Helper()
	var at []float64
	text := b.text("(e => { e.scrollIntoView({block: 'nearest', inline: 'nearest'}); const r = e.getBoundingClientRect();" +
		" return JSON.stringify([r.x + r.width / 2, r.y + r.height / 2]); })(" + element + ")")
	if err := json.Unmarshal([]byte(text), &at); err != nil {
		b.t.Fatal(err)
	}
	return at[0], at[1]
}

// press and release are the halves of a click.
func (b tab) press(x, y float64) {
	b.t.Helper()
	b.do(chromedp.MouseEvent(chromedp.MousePressed, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
}

func (b tab) release(x, y float64) {
	b.t.Helper()
	b.do(chromedp.MouseEvent(chromedp.MouseReleased, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
}

func (b tab) click(element string) {
	b.t.Helper()
	x, y := b.centre(element)
	b.press(x, y)
	b.release(x, y)
}

// look writes screenshots of the page, light and dark, to the directory in LB_SHOTS, if it is set.
func (b tab) look(name string) {
	b.t.Helper()
	dir := os.Getenv("LB_SHOTS")
	if dir == "" {
		return
	}
	for _, scheme := range []string{"dark", "light"} {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		if err != nil {
			b.t.Fatal(err)
		}
		picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(dir+"/"+name+"-"+scheme+".png", picture, 0o644)
		}
		if err != nil {
			b.t.Error(err)
		}
	}
}

// serveDashboard is serve with everything that a dashboard needs.
func serveDashboard(t *testing.T, o Options) string {
	if o.Events == nil {
		o.Events = &Events{}
	}
	if o.Status == nil {
		o.Status = func() Status { return Status{Version: "v7", Ready: true} }
	}
	return serve(t, o)
}

// replicas returns an app with some backends.
func replicas(addresses ...string) *pool.Pool {
	p := pool.New(pool.Options{Name: "app", Balance: "round_robin"})
	p.SetMembers(pool.SourceConfig, members(addresses...))
	return p
}

func members(addresses ...string) (all []pool.Member) {
	for _, address := range addresses {
		all = append(all, pool.Member{Address: address, Weight: 1})
	}
	return all
}

func only(pools ...*pool.Pool) func() []*pool.Pool { return func() []*pool.Pool { return pools } }
