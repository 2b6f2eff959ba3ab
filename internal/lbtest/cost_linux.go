package lbtest

import (
	"time"

	"golang.org/x/sys/unix"
)

const measuresCPU = true

// cpuTime returns how much CPU time the thread or the process has used.
func cpuTime(of CPU) time.Duration {
	clock := int32(unix.CLOCK_THREAD_CPUTIME_ID)
	if of == OfProcess {
		clock = unix.CLOCK_PROCESS_CPUTIME_ID
	}
	var now unix.Timespec
	_ = unix.ClockGettime(clock, &now) // both clocks are always there
	return time.Duration(now.Nano())
}
