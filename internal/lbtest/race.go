//go:build race

package lbtest

import "time"

// Race says whether the race detector is on.
const Race = true

// costFloor is higher under the race detector, by which everything takes several times as long.
const costFloor = 40 * time.Millisecond
