package proxy

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"

	"lb/pool"
)

// background describes the goroutine that works for an exchange.
type background struct {
	then     func() // called on the loop afterwards
	unwanted func() // called instead of then if the result is not needed; may be nil
	cancel   context.CancelFunc
	panicked *panicked // set by the goroutine
}

// panicked is the value and the stack of a panic.
type panicked struct {
	value any
	stack []byte
}

// InBackground runs work, which may block, in a goroutine, and then calls then on the exchange's loop. work must not use the exchange,
// nor slices obtained from it. Its context ends when the client disconnects and when the loop stops; the exchange ends only after work
// has returned. If the client has disconnected or work has panicked, unwanted is called instead of then; it may be nil.
func (x *Exchange) InBackground(work func(ctx context.Context), then, unwanted func()) {
	x.phase = phaseBackground
	x.background.then, x.background.unwanted = then, unwanted
	x.startWork(work)
}

// startWork runs work in a goroutine. eventDone follows.
func (x *Exchange) startWork(work func(ctx context.Context)) {
	x.wait(0)
	// Not a child of the loop's context, which would be locked. When a loop stops, all its clients are disconnected.
	ctx, cancel := context.WithCancel(context.Background())
	x.background.cancel = cancel
	x.worker.Loop.Go(func(context.Context) {
		defer x.background.recover()
		work(ctx)
	}, (*doneTask)(x))
}

// recover stores a panic.
func (e *background) recover() {
	if v := recover(); v != nil {
		e.panicked = &panicked{v, debug.Stack()}
	}
}

// finishWork cleans up after the goroutine, which has ended.
func (x *Exchange) finishWork() background {
	e := x.background
	x.background = background{}
	e.cancel()
	if e.panicked != nil {
		x.reportPanic(e.panicked)
	}
	return e
}

// returned continues after InBackground.
func (x *Exchange) returned() {
	e := x.finishWork()
	wanted := x.disconnected == nil && e.panicked == nil
	if !wanted && e.unwanted != nil {
		e.unwanted()
	}
	switch {
	case wanted:
		e.then()
	case x.disconnected != nil:
		x.leaveBackend()
	default:
		if x.backend != nil {
			x.backend.Report(pool.Aborted)
			x.releaseBackend()
		}
		x.failPanicked(e.panicked)
	}
}

// failPanicked responds after work has panicked.
func (x *Exchange) failPanicked(p *panicked) {
	x.Fail(http.StatusInternalServerError, errPanicked.Error(), fmt.Errorf("panic: %v", p.value))
}

// disconnectedInBackground cancels the work, and waits until it has returned.
func (x *Exchange) disconnectedInBackground() { x.background.cancel() }
