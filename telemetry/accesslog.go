package telemetry

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Entry is one line of the access log. The byte slices are read only during
// AccessLog.Write, so the caller may reuse what they point into.
type Entry struct {
	Time      time.Time
	Client    netip.Addr // the address that limits and forwarded headers use, too
	Site      string
	Route     string
	Pool      string
	Backend   string // the last one tried
	Method    []byte
	Host      []byte
	Target    []byte // the request target as the client wrote it
	Protocol  string
	Status    int
	GRPC      string // status of a call by gRPC, a number; "": it is none, or got no status
	BytesIn   int64  // of the request's body
	BytesOut  int64  // head and body, as sent
	Duration  time.Duration
	Upstream  time.Duration // to the backend's response head; 0: no backend was tried
	Tries     int
	RequestID []byte
	User      string // authenticated by lb; "": none
	Referer   []byte
	UserAgent []byte
	TLS       string // "" for plain, else "TLSv1.3"
	Error     string // why lb responded itself or cut the response short; "" if nothing went wrong
}

// queueBytes bounds the bytes that wait for the disk; the ring bounds the number of lines.
const queueBytes = 32 << 20

// AccessLogOptions says what the access log holds and where it goes.
type AccessLogOptions struct {
	Format  string       // json or combined; "" is json
	File    string       // "-" or "" is stdout
	Sample  float64      // share of the lines kept, 0 to 1; those of failures always are: a status of 500 or more, or of gRPC that means the same, or an error
	Dropped *Counter     // counts lost lines, lb_access_log_dropped_total; may be nil
	Log     hclog.Logger // gets errors of writing; may be nil
}

// AccessLog writes entries without ever blocking the caller; entries that the disk cannot take are dropped and
// counted.
type AccessLog struct {
	encode  func([]byte, *Entry) []byte
	share   uint64 // of math.MaxUint64; a random number up to it keeps a line
	path    string // "" for stdout
	dropped *Counter
	log     hclog.Logger

	queue  *ring
	queued atomic.Int64 // bytes in the queue
	idle   atomic.Bool  // the writer sleeps until woken
	wake   chan struct{}

	reopened atomic.Pointer[os.File] // taken by the writer before its next batch
	file     atomic.Pointer[os.File] // stored by the writer alone
	ended    <-chan struct{}         // Done of Start's context
	done     chan struct{}           // closed when the writer has ended

	torn        bool      // the last line in the file is incomplete; used by the writer alone
	lastWarning time.Time // when a failed write was last logged; used by the writer alone
}

// NewAccessLog opens the log. Nothing is written before Start.
func NewAccessLog(o AccessLogOptions) (*AccessLog, error) {
	l := &AccessLog{
		encode:  appendJSON,
		dropped: o.Dropped,
		log:     o.Log,
		queue:   newRing(ringSlots),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	switch o.Format {
	case "", "json":
	case "combined":
		l.encode = appendCombined
	default:
		return nil, fmt.Errorf("cannot write an access log in format %q: it must be json or combined", o.Format)
	}
	switch {
	case o.Sample >= 1:
		l.share = math.MaxUint64
	case o.Sample > 0:
		l.share = uint64(o.Sample * math.MaxUint64)
	}
	if l.dropped == nil {
		l.dropped = new(Counter)
	}
	if l.log == nil {
		l.log = hclog.NewNullLogger()
	}
	l.file.Store(os.Stdout)
	if o.File != "" && o.File != "-" {
		f, err := openLog(o.File)
		if err != nil {
			return nil, err
		}
		l.file.Store(f)
		l.path = o.File
	}
	return l, nil
}

// Write queues one entry. It never blocks and does not allocate in the steady state.
// It is safe on a nil *AccessLog, which drops everything.
func (l *AccessLog) Write(e *Entry) {
	if l == nil {
		return
	}
	if e.Status < 500 && e.Error == "" && !e.failedCall() && l.share != math.MaxUint64 && (l.share == 0 || rand.Uint64() > l.share) {
		return
	}
	if l.queued.Load() > queueBytes {
		l.dropped.Inc()
		return
	}
	s, p := l.queue.reserve()
	if s == nil {
		l.dropped.Inc()
		return
	}
	s.line = l.encode(s.line[:0], e)
	l.queued.Add(int64(len(s.line)))
	s.publish(p)
	// A full quarter of the ring is written before the delay ends.
	if (p+1)%(ringSlots/4) == 0 || l.idle.Load() && l.idle.CompareAndSwap(true, false) {
		select {
		case l.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// failedCall reports whether the status of a call by gRPC is one that is the server's fault, as a 5xx of HTTP is: UNKNOWN,
// DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE or DATA_LOSS.
func (e *Entry) failedCall() bool {
	switch e.GRPC {
	case "2", "4", "12", "13", "14", "15":
		return true
	}
	return false
}

// Start starts the goroutine that writes. When ctx ends it writes what is queued and closes the file; later entries
// are dropped and counted. Start may be called once.
func (l *AccessLog) Start(ctx context.Context) {
	if l == nil {
		return
	}
	l.ended = ctx.Done()
	go l.run(ctx)
}

// Wait returns when the writer has ended: after the end of Start's context, when everything queued is in the file. It
// gives up, with an error, if that takes over two seconds.
func (l *AccessLog) Wait() error {
	if l == nil {
		return nil
	}
	<-l.ended
	patience := time.NewTimer(flushTime + flushTime/4)
	defer patience.Stop()
	select {
	case <-l.done:
		return nil
	case <-patience.C:
		return fmt.Errorf("cannot flush the access log %q: it accepts no more data", l.file.Load().Name())
	}
}

// Reopen opens the file by its name again, for rotation by rename: lines of requests that end later go to the new
// file. On an error the old file stays in use.
func (l *AccessLog) Reopen() error {
	if l == nil || l.path == "" {
		return nil
	}
	f, err := openLog(l.path)
	if err != nil {
		return err
	}
	if old := l.reopened.Swap(f); old != nil {
		old.Close() // from an earlier call that the writer has not seen yet
	}
	select {
	case <-l.done:
		l.closeReopened() // the writer has ended
	default:
	}
	return nil
}

func (l *AccessLog) closeReopened() {
	if f := l.reopened.Swap(nil); f != nil {
		f.Close()
	}
}
