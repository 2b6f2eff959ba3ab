package admin

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// eventBacklog is how many events a reader may fall behind before it is disconnected.
	eventBacklog = 128
	// eventReaders bounds the open streams.
	eventReaders = 64
	// heartbeat keeps proxies from closing a quiet stream, and detects disconnected readers.
	heartbeat = 15 * time.Second
	// keptEvents and keptBytes bound what is kept for readers that connect later or again.
	keptEvents = 200
	keptBytes  = 256 << 10
)

// Events sends events to the readers of /api/v1/events, and keeps the last ones. The zero value is ready.
type Events struct {
	mu      sync.Mutex
	readers map[chan []byte]struct{}

	origin string // prefix of identifiers, different in each process
	last   uint64 // number of the last event; the first is 1
	kept   []event
	size   int // bytes in kept
}

// event is a kept event.
type event struct {
	number uint64
	frame  []byte
}

// Publish sends one event to all readers: "backend" with a pool.Event, "reload" with a Reload. It never waits: a
// reader that falls behind is disconnected, and may connect again. It is safe on nil.
func (e *Events) Publish(name string, data any) {
	if e == nil {
		return
	}
	text, err := json.Marshal(data)
	if err != nil {
		return // a type that cannot be encoded; the first test with a reader shows it
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	frame := fmt.Appendf(nil, "id: %s\nevent: %s\ndata: %s\n\n", e.id(e.last), strings.ReplaceAll(name, "\n", " "), text)
	e.keep(event{e.last, frame})
	for reader := range e.readers {
		select {
		case reader <- frame:
		default:
			delete(e.readers, reader)
			close(reader)
		}
	}
}

// id returns the identifier of an event. The caller holds e.mu.
func (e *Events) id(number uint64) string {
	if e.origin == "" {
		e.origin = rand.Text()[:10]
	}
	return e.origin + "-" + strconv.FormatUint(number, 10)
}

// keep keeps an event, and drops the oldest ones beyond the bounds. The caller holds e.mu.
func (e *Events) keep(latest event) {
	e.kept = append(e.kept, latest)
	e.size += len(latest.frame)
	drop := 0
	for len(e.kept)-drop > keptEvents || e.size > keptBytes {
		e.size -= len(e.kept[drop].frame)
		drop++
	}
	e.kept = slices.Delete(e.kept, 0, drop)
}

// missed returns the kept events that a reader has not seen: those after the last one that it saw; if there is none
// or it is unknown, the most recent ones. The caller holds e.mu.
func (e *Events) missed(seen string, recent int) []event {
	if origin, digits, ok := strings.Cut(seen, "-"); ok && origin == e.origin {
		if number, err := strconv.ParseUint(digits, 10, 64); err == nil {
			from := slices.IndexFunc(e.kept, func(k event) bool { return k.number > number })
			if from < 0 {
				return nil
			}
			return e.kept[from:]
		}
	} else if seen != "" {
		return e.kept // all came after the process that the reader knew
	}
	return e.kept[max(0, len(e.kept)-recent):]
}

// subscribe returns a new reader, nil if there are too many, and the frames to send first.
func (e *Events) subscribe(seen string, recent int) (reader chan []byte, before []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.readers) >= eventReaders {
		return nil, nil
	}
	if e.readers == nil {
		e.readers = make(map[chan []byte]struct{})
	}
	reader = make(chan []byte, eventBacklog)
	e.readers[reader] = struct{}{}
	for _, k := range e.missed(seen, recent) {
		before = append(before, k.frame...)
	}
	return reader, before
}

func (e *Events) unsubscribe(reader chan []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.readers, reader)
}

func (e *Events) serve(w http.ResponseWriter, r *http.Request) {
	recent := 0
	if text := r.URL.Query().Get("recent"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			fail(w, http.StatusBadRequest, "recent must be a number of past events")
			return
		}
		recent = n
	}
	reader, before := e.subscribe(r.Header.Get("Last-Event-ID"), recent)
	if reader == nil {
		fail(w, http.StatusServiceUnavailable, "too many readers of events")
		return
	}
	defer e.unsubscribe(reader)
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(frame []byte) bool {
		control.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := w.Write(frame)
		return err == nil && control.Flush() == nil
	}
	if r.Method == http.MethodHead || !send(append([]byte("retry: 2000\n\n"), before...)) {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		frame := []byte(":\n\n")
		select {
		case event, more := <-reader:
			if !more {
				return
			}
			frame = event
		case <-beat.C:
		case <-r.Context().Done():
			return
		}
		if !send(frame) {
			return
		}
	}
}
