package pool

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestManyChangesAreOneLine: hundreds of backends that join, get their first check result and leave cause one log line each time,
// by result. A few with other results, and later changes, have separate lines, in order.
func TestManyChangesAreOneLine(t *testing.T) {
	var log bytes.Buffer // read when the pool's goroutine waits
	var addresses []string
	for i := range 400 {
		addresses = append(addresses, fmt.Sprintf("a:%d", i+1))
	}
	o := Options{Name: "app", Members: at(addresses...), HealthChecks: true,
		Log: hclog.New(&hclog.LoggerOptions{Output: &log, DisableTime: true})}
	running(t, o, func(t *testing.T, p *Pool) {
		lines := func() (list []string) {
			time.Sleep(digestTime)
			synctest.Wait()
			for line := range strings.Lines(log.String()) {
				if !strings.Contains(line, "pool changed") {
					list = append(list, strings.Join(strings.Fields(line), " "))
				}
			}
			log.Reset()
			return list
		}
		for i, address := range addresses {
			if i < 2 {
				p.SetActive(p.Backend(address), false, "connection refused")
			} else {
				p.SetActive(p.Backend(address), true, "first check passed")
			}
		}
		expect(t, "at the start", lines(), []string{
			`[WARN] backend changed: pool=app backend=a:1 from=absent to=down reason="connection refused"`,
			`[WARN] backend changed: pool=app backend=a:2 from=absent to=down reason="connection refused"`,
			`[INFO] backends changed: pool=app count=398 backends="a:3, a:4, a:5, …" from=absent to=up reason="first check passed"`,
		})
		p.SetActive(p.Backend("a:9"), false, "timeout")
		p.SetActive(p.Backend("a:10"), false, "timeout")
		expect(t, "later", lines(), []string{
			`[WARN] backend changed: pool=app backend=a:9 from=up to=down reason=timeout`,
			`[WARN] backend changed: pool=app backend=a:10 from=up to=down reason=timeout`,
		})
		o.Members = nil
		p.Apply(o)
		got := lines()
		if len(got) > 3 || !strings.Contains(strings.Join(got, "\n"), "to=absent") {
			t.Errorf("400 backends that go: %q", got)
		}
	})
}
