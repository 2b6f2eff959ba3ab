//go:build !race

package lbtest

import "time"

// Race says whether the race detector is on.
const Race = false

// costFloor is what a harmless input of any size may take more than another.
const costFloor = 4 * time.Millisecond
