package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// eventBacklog is how far a reader may fall behind before it is cut off.
	eventBacklog = 128
	// eventReaders bounds the open streams.
	eventReaders = 64
	// heartbeat keeps proxies between from closing a quiet stream, and finds readers that are gone.
	heartbeat = 15 * time.Second
)

// Events hands what happens to whoever listens on /api/v1/events. The zero value is ready.
type Events struct {
	mu      sync.Mutex
	readers map[chan []byte]struct{}
}

// Publish sends one event to all readers: "backend" with a pool.Event, "reload" with a Reload. It never
// waits: a reader that does not keep up is cut off, and may connect again. Safe on nil.
func (e *Events) Publish(name string, data any) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.readers) == 0 {
		return
	}
	text, err := json.Marshal(data)
	if err != nil {
		return // of a type that cannot be encoded: a mistake that the first reader's test shows
	}
	frame := []byte("event: " + strings.ReplaceAll(name, "\n", " ") + "\ndata: " + string(text) + "\n\n")
	for reader := range e.readers {
		select {
		case reader <- frame:
		default:
			delete(e.readers, reader)
			close(reader)
		}
	}
}

// subscribe returns nil if there are too many readers.
func (e *Events) subscribe() chan []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.readers) >= eventReaders {
		return nil
	}
	if e.readers == nil {
		e.readers = make(map[chan []byte]struct{})
	}
	reader := make(chan []byte, eventBacklog)
	e.readers[reader] = struct{}{}
	return reader
}

func (e *Events) unsubscribe(reader chan []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.readers, reader)
}

func (e *Events) serve(w http.ResponseWriter, r *http.Request) {
	reader := e.subscribe()
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
	if r.Method == http.MethodHead || !send([]byte("retry: 2000\n\n")) {
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
