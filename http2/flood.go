package http2

import "time"

// credit bounds what costs us much and a client little. It comes back with time, and with what clients do that use the connection for what it is for.
type credit struct {
	resets int // streams that end early, by whatever side
	frames int // frames that do nothing for a request
	at     time.Time
}

const (
	mostResets      = 200
	resetsPerSecond = 20
	mostFrames      = 2000
	framesPerSecond = 200
	framesPerStream = 8
	framesPerData   = 3
	settingsCost    = 20 // in frames, and one for each setting: it may change the windows of all streams
	mostUnsent      = 1 << 20
)

func (c *credit) begin(now time.Time) { *c = credit{mostResets, mostFrames, now} }

// refill gives what is due for the time that has passed.
func (c *credit) refill(now time.Time) {
	seconds := int(min(now.Sub(c.at)/time.Second, 1000))
	if seconds <= 0 {
		return
	}
	c.at = now
	c.resets = min(c.resets+seconds*resetsPerSecond, mostResets)
	c.frames = min(c.frames+seconds*framesPerSecond, mostFrames)
}

// complete is for a stream that has come to its end.
func (c *credit) complete() { c.resets = min(c.resets+1, mostResets) }

// opened is for a request.
func (c *credit) opened() { c.frames = min(c.frames+framesPerStream, mostFrames) }

// data is for a piece of a body, either way, for which a client may send WINDOW_UPDATE and PING.
func (c *credit) data() { c.frames = min(c.frames+framesPerData, mostFrames) }

// spendReset pays for a stream that ends early. It reports false if that was one too many, and the connection ends.
func (c *link) spendReset() bool {
	c.credit.refill(c.worker.Loop.Now())
	if c.credit.resets--; c.credit.resets < 0 {
		c.side.flood("Too many streams end early.")
		return false
	}
	return c.phase == phaseOpen
}

// spendFrame is the same for a frame.
func (c *link) spendFrame() bool { return c.spendFrames(1) }

func (c *link) spendFrames(n int) bool {
	c.credit.refill(c.worker.Loop.Now())
	if c.credit.frames -= n; c.credit.frames < 0 {
		c.side.flood("Too many frames do nothing for a request.")
		return false
	}
	if len(c.out) > mostUnsent {
		c.side.flood("The peer does not read what it asks for.")
		return false
	}
	return c.phase == phaseOpen
}

// flood ends the connection of a client that costs too much.
func (c *Conn) flood(reason string) {
	if c.phase > phaseOpen {
		return
	}
	c.settings.Handler.Refused(c, &Refusal{Label: LabelFlood, Reason: reason})
	c.error(codeCalm, reason)
}
