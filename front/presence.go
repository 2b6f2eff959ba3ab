package front

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"lb/http1"
)

// probeAfter is how long a client that has ended its sending half is left alone.
const probeAfter = 40 * time.Millisecond

// presence watches over a client while its request is worked on, and reads nothing meanwhile.
//
// That a client has ended its stream may mean that it has gone, or only that it has no more to ask: the
// two look the same until something is sent. So something is sent that changes nothing for a client
// that is still there: before a response the start of its status line, which is the same for all
// of them, and between two chunks a zero, with which the size of the next one then begins
// (RFC 9112 section 7.1). One that has gone responds with a reset.
type presence struct {
	state atomic.Int32

	mu     sync.Mutex
	gone   func()        // what to call; nil: nobody wants to know
	over   chan struct{} // closed when the watch ends; nil: none runs
	probed bool          // the watch has sent something, or never can; nobody else looks
}

// The states of that.
const (
	presenceOff  int32 = iota
	presenceNew        // since the last round
	presenceSeen       // by a round
	presenceWatched
)

// Await calls gone, from another goroutine, if the client leaves before EndAwait. Nobody
// but a reader of the body may read from the client meanwhile.
func (c *Conn) Await(gone func()) {
	v := &c.presence
	v.mu.Lock()
	v.gone, v.probed = gone, false
	v.mu.Unlock()
	v.state.Store(presenceNew)
	c.listener.socket.front.rounds.look()
}

// EndAwait ends what Await began; gone is not called any more when it returns. It may be called twice.
func (c *Conn) EndAwait() {
	v := &c.presence
	v.state.Store(presenceOff)
	v.mu.Lock()
	v.gone = nil
	over := v.over
	v.mu.Unlock()
	if over != nil {
		_ = c.raw.InterruptRead()
		<-over
		c.raw.ForgetInterrupt() // the watch may have ended before
	}
}

func (v *presence) awaits() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gone != nil
}

// watch runs when a request has been under way for a while.
func (c *Conn) watch() {
	v := &c.presence
	v.mu.Lock()
	if v.gone == nil || v.over != nil {
		v.mu.Unlock()
		return
	}
	over := make(chan struct{})
	v.over = over
	v.mu.Unlock()
	defer close(over)

	pending := c.body.pending()
	left := false
	if pending {
		left = c.leftByNow()
	} else {
		left = c.clientLeft()
	}
	left = left && !c.aborted() // who has done that himself need not be told
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = nil
	switch {
	case v.gone == nil:
	case left:
		v.gone()
		v.gone = nil
	case pending:
		v.lookAgain()
	}
}

// lookAgain has a connection looked at in the next round.
func (v *presence) lookAgain() { v.state.CompareAndSwap(presenceWatched, presenceSeen) }

// hungUp reports whether the client has at least ended its stream, or the connection is ours no more. It does not
// wait: while a body is pending, thousands may be asked in each round.
func (c *Conn) hungUp() bool {
	ended, broken := c.raw.Hangup()
	return ended || broken
}

// leftByNow is clientLeft for a client whose body has not been received whole. Who reads that sees the client leave, but
// perhaps nobody does: the client may wait for a 100, or the backend take no more. It does not wait, so as not to be in
// the way of a reader.
func (c *Conn) leftByNow() bool {
	ended, broken := c.raw.Hangup()
	if v := &c.presence; ended && !broken && !v.probed {
		v.probed = c.probe()
	}
	return broken
}

// clientLeft waits until the client has gone; false if the presence ends before.
func (c *Conn) clientLeft() bool {
	const ended, broken = false, true
	if left, again := c.hangup(ended, 0); left || !again {
		return left
	}
	v, wait := &c.presence, probeAfter
	// EndAwait interrupts this goroutine once, and a wait that is over at that moment takes the interrupt along. So before
	// each wait, the last one too, it has to be seen whether anybody still wants to know.
	for v.awaits() {
		left, again := c.hangup(broken, wait)
		if left || !again {
			return left
		}
		if v.probed = v.probed || c.probe(); v.probed {
			wait = 0 // without end
		}
	}
	return false
}

// stillReads reports whether a client that has ended its stream in the middle of its request body is there to be responded to.
// Whoever reads the body may ask.
func (c *Conn) stillReads() bool {
	if c.Responded() || !c.probe() {
		return false
	}
	left, _ := c.hangup(true, probeAfter)
	return !left
}

// hangup waits for the client to end its stream, or to be gone altogether, for so long (0: without end). It reports
// whether the client has gone, and if not, whether to go on.
func (c *Conn) hangup(onlyBroken bool, wait time.Duration) (left, again bool) {
	_ = c.raw.RenewRead(wait)
	for {
		broken, err := c.raw.AwaitHangup(onlyBroken)
		switch {
		case err == nil:
			return broken, true
		case errors.Is(err, net.ErrClosed): // Shutdown has cut it
			return true, false
		case isTimeout(err):
			return false, true
		case !isInterrupt(err) || !c.presence.awaits():
			return false, false
		}
	}
}

// probe sends what shows whether the client is there. It reports whether that has been done, or
// will never be possible.
func (c *Conn) probe() bool {
	c.sending.Lock()
	defer c.sending.Unlock()
	var piece []byte
	switch {
	case c.cut || c.early > 0:
		return true
	case !c.responded:
		piece = []byte(http1.StatusLineStart)
	case c.writer.BetweenChunks():
		piece = leadingZero
	default:
		return false // chunks may come yet
	}
	n, err := c.writeParts(piece, nil, nil, 0)
	c.sent += n
	if !c.responded {
		c.early = int(n)
	}
	if err != nil {
		c.raw.Close() // what part of it is out cannot be taken back, and no response can follow
	}
	return true
}

var leadingZero = []byte("0")
