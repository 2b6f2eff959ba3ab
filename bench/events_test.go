package main

import (
	"testing"
	"time"
)

// TestReadStreams: every piece but the first is timed, in both framings, and a truncated stream is an error.
func TestReadStreams(t *testing.T) {
	origin, err := startOrigin()
	if err != nil {
		t.Fatal(err)
	}
	defer origin.stop()
	for _, kind := range []string{"events", "trickle"} {
		delays, err := readStreams(t.Context(), "http://"+origin.address+"/"+kind, 3*eventInterval)
		if err != nil || len(delays) != 2*eventStreams {
			t.Fatalf("%s: %d delays, %v", kind, len(delays), err)
		}
		if delays[0] <= 0 || delays[len(delays)-1] > 10*time.Second {
			t.Errorf("%s: delays from %v to %v", kind, delays[0], delays[len(delays)-1])
		}
	}
	if _, err := readStream(t.Context(), newHTTPClient(), "http://"+origin.address+"/?bytes=5", 2); err == nil {
		t.Error("a body of five bytes was read as two events")
	}
}
