package admin

import (
	"hash/maphash"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// failuresOfOne and failuresOfAll are how many wrong tokens a client, and all clients together, may try at once.
	// That many are allowed again in each failureWindow.
	failuresOfOne = 10
	failuresOfAll = 200
	failureWindow = time.Minute
	// failureSlots is how many clients are distinguished. Clients in the same slot share its allowance.
	failureSlots = 1024
)

// failures counts wrong tokens. Beyond a number of them the response is 429. They never exclude the right token, or
// anybody could lock the administrator out: the length of the token is what prevents guessing.
type failures struct {
	log  hclog.Logger
	seed maphash.Seed

	mu    sync.Mutex
	all   allowance
	slots [failureSlots]allowance
	// Each window has one line for all failures in it; the first one is logged at once.
	unlogged int
	last     string      // the address of the last failure that is not logged
	timer    *time.Timer // nil: no window is open
}

// allowance is a token bucket that refills evenly. The zero value is full.
type allowance struct {
	used float64
	at   time.Time
}

func newFailures(log hclog.Logger) *failures {
	return &failures{log: log, seed: maphash.MakeSeed()}
}

// add counts a wrong token from a remote address. It returns how long to wait until another one is counted, 0 if this
// one was.
func (f *failures) add(remote string, now time.Time) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(remote)
	slot := &f.slots[maphash.String(f.seed, client(remote))%failureSlots]
	wait = max(slot.wait(failuresOfOne, now), f.all.wait(failuresOfAll, now))
	if wait == 0 {
		slot.used++
		f.all.used++
	}
	return wait
}

// client returns what counts as one client: an IPv4 address, or an IPv6 network of 64 bits, since single addresses in
// it cost nothing.
func client(remote string) string {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "" // a Unix socket's
	}
	ip := address.Addr().Unmap().WithZone("")
	if ip.Is6() {
		network, _ := ip.Prefix(64)
		return network.String()
	}
	return ip.String()
}

// wait updates the allowance and returns how long it takes until one more fits.
func (a *allowance) wait(most float64, now time.Time) time.Duration {
	perSecond := most / failureWindow.Seconds()
	a.used = max(0, a.used-perSecond*max(0, now.Sub(a.at).Seconds()))
	a.at = now
	if a.used+1 <= most {
		return 0
	}
	return time.Duration((a.used + 1 - most) / perSecond * float64(time.Second))
}

// note logs a failure, or counts it for the line at the end of the window.
func (f *failures) note(remote string) {
	if f.timer != nil {
		f.unlogged++
		f.last = remote
		return
	}
	f.log.Warn("a wrong admin token", "from", remote)
	f.timer = time.AfterFunc(failureWindow, f.closeWindow)
}

// closeWindow logs the failures of the window, and opens the next one if there were any.
func (f *failures) closeWindow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer == nil {
		return // stopped
	}
	if f.unlogged == 0 {
		f.timer = nil
		return
	}
	f.logRest()
	f.timer.Reset(failureWindow)
}

func (f *failures) logRest() {
	f.log.Warn("more wrong admin tokens", "count", f.unlogged, "last_from", f.last)
	f.unlogged = 0
}

// stop logs what has not been logged.
func (f *failures) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer == nil {
		return
	}
	f.timer.Stop()
	f.timer = nil
	if f.unlogged > 0 {
		f.logRest()
	}
}

// tooMany sets when to try again, in whole seconds, and returns the status.
func tooMany(w http.ResponseWriter, wait time.Duration) int {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return http.StatusTooManyRequests
}
