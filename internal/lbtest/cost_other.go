//go:build !linux

package lbtest

import "time"

const measuresCPU = false

func cpuTime(CPU) time.Duration { return 0 }
