//go:build race

package lbtest

import "time"

// costFloor is higher under the race detector, by which everything takes several times as long.
const costFloor = 40 * time.Millisecond
