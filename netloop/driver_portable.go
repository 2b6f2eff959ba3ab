//go:build !linux || !(amd64 || arm64) || portable

package netloop

import "time"

// driver waits only for tasks: goroutines that read and write post what has happened.
type driver struct {
	loop  *Loop
	woken chan struct{}
	slept bool
}

func (d *driver) open() error {
	d.woken = make(chan struct{}, 1)
	return nil
}

func (d *driver) close() {}

func (d *driver) wake() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

func (d *driver) dispatch(int) {}

func (l *Loop) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l.batch(0)
		if l.ended() {
			return
		}
		next := l.timers.next()
		if next <= l.clock || !l.sleep() {
			continue
		}
		if next == never {
			timer.Stop()
		} else {
			timer.Reset(time.Until(epoch.Add(time.Duration(next))))
		}
		select {
		case <-l.driver.woken:
		case <-timer.C:
		}
		l.rise()
	}
}
