package telemetry

import (
	"net/netip"
	"time"
)

// Entry is one line of the access log. The byte slices are read only during
// AccessLog.Write, so the caller may reuse what they point into.
type Entry struct {
	Time      time.Time
	Client    netip.Addr // the address that limits and forwarded headers use too
	Site      string
	Route     string
	Pool      string
	Backend   string // the last one tried
	Method    []byte
	Host      []byte
	Target    []byte // the request target as the client wrote it
	Protocol  string
	Status    int
	BytesIn   int64 // of the request's body
	BytesOut  int64 // head and body, as sent
	Duration  time.Duration
	Upstream  time.Duration // to the backend's response head; 0: no backend was asked
	Tries     int
	RequestID []byte
	Referer   []byte
	UserAgent []byte
	TLS       string // "" for plain, else "TLSv1.3"
	Error     string // why lb answered itself or cut the answer; "" if all went well
}

// AccessLog writes entries without ever blocking the caller: what the disk cannot take is dropped and counted.
type AccessLog struct{}

// Write queues one entry. It never blocks and does not allocate in the steady state.
// It is safe on a nil *AccessLog, which drops everything.
func (l *AccessLog) Write(e *Entry) { panic("todo") }
