package server

import (
	"testing"
	"time"
)

// TestTicketRotation: there is a new key each day, a ticket is valid for a week, and a process that takes over has the same keys.
func TestTicketRotation(t *testing.T) {
	var keys tickets
	begin := time.Unix(1_800_000_000, 0)
	var first [32]byte
	for hour := range 24 * 10 {
		made := keys.rotate(begin.Add(time.Duration(hour) * time.Hour))
		if want := hour%24 == 0; made != want {
			t.Errorf("hour %d: a new key: %v", hour, made)
		}
		if hour == 0 {
			first = keys.random()[0]
		}
		known := false
		for _, k := range keys.random() {
			known = known || k == first
		}
		if want := hour < 24*8; known != want {
			t.Errorf("hour %d: the first key is known: %v", hour, known)
		}
	}
	if n := len(keys.random()); n != 8 {
		t.Errorf("%d keys", n)
	}
	taken := tickets{keys: decodeTicketKeys(keys.encode())}
	if got, want := taken.random(), keys.random(); len(got) != len(want) || got[0] != want[0] || got[7] != want[7] {
		t.Error("the process that takes over has other keys")
	}
	if taken.rotate(begin.Add(24 * 9 * time.Hour)) {
		t.Error("the process that takes over makes a new key too early")
	}
}
