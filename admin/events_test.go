package admin

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lb/pool"
)

func readers(e *Events) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.readers)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

// stream is an open response of /api/v1/events.
type stream struct {
	*bufio.Scanner
	header http.Header
	close  func()
}

func listen(t *testing.T, address, query string, headers ...string) stream {
	t.Helper()
	transport := &http.Transport{}
	request, _ := http.NewRequest("GET", "http://"+address+"/api/v1/events"+query, nil)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := transport.RoundTrip(request)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v %v", response, err)
	}
	close := func() {
		response.Body.Close()
		transport.CloseIdleConnections()
	}
	t.Cleanup(close)
	return stream{bufio.NewScanner(response.Body), response.Header, close}
}

// next returns the identifier and the data of the next event.
func (s stream) next(t *testing.T) (id, data string) {
	t.Helper()
	for s.Scan() {
		name, value, _ := strings.Cut(s.Text(), ": ")
		switch {
		case name == "id":
			id = value
		case name == "data":
			data = value
		case s.Text() == "" && data != "":
			return id, data
		}
	}
	t.Fatalf("the stream has ended: %v", s.Err())
	return "", ""
}

func TestEvents(t *testing.T) {
	events := &Events{}
	events.Publish("reload", Reload{OK: true}) // without readers
	response := listen(t, serve(t, Options{Events: events}), "")
	if got := response.header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	eventually(t, "a reader", func() bool { return readers(events) == 1 })
	events.Publish("backend", pool.Event{Pool: "app", Backend: "b\n\nevent: forged", From: "up", To: "down"})
	events.Publish("reload", Reload{OK: true})
	want := []string{"retry: 2000", "",
		"id: " + events.origin + "-2",
		"event: backend", `data: {"time":"0001-01-01T00:00:00Z","pool":"app","backend":"b\n\nevent: forged","from":"up","to":"down","reason":""}`, "",
		"id: " + events.origin + "-3",
		"event: reload", `data: {"time":"0001-01-01T00:00:00Z","ok":true}`, ""}
	for _, w := range want {
		if !response.Scan() || response.Text() != w {
			t.Fatalf("got %q, want %q (%v)", response.Text(), w, response.Err())
		}
	}
	response.close()
	eventually(t, "no reader", func() bool { return readers(events) == 0 })
}

// A reader gets past events if it requests them, and after a reconnection those that it has missed, each exactly once.
func TestPastEvents(t *testing.T) {
	events := &Events{}
	address := serve(t, Options{Events: events})
	publish := func(from, to int) {
		for i := from; i <= to; i++ {
			events.Publish("x", i)
		}
	}
	expect := func(s stream, from, to int) (last string) {
		t.Helper()
		for i := from; i <= to; i++ {
			id, data := s.next(t)
			if data != strconv.Itoa(i) {
				t.Fatalf("got event %s, want %d", data, i)
			}
			last = id
		}
		return last
	}
	publish(1, 5)
	s := listen(t, address, "?recent=3")
	last := expect(s, 3, 5)
	publish(6, 7)
	expect(s, 6, 7)
	// It has seen five and reconnects, and two more are published.
	again := listen(t, address, "?recent=3", "Last-Event-ID", last)
	expect(again, 6, 7)
	publish(8, 8)
	expect(again, 8, 8)
	all := listen(t, address, "?recent=1", "Last-Event-ID", "another-5") // of the previous process
	expect(all, 1, 8)
	none := listen(t, address, "")
	publish(9, keptEvents+20)
	expect(none, 9, 100)
	expect(listen(t, address, "", "Last-Event-ID", last), 21, keptEvents+20) // as many as are kept
	wantError(t, "recent=x", ask(t, "GET", "http://"+address+"/api/v1/events?recent=x", ""), 400)

	events.Publish("x", strings.Repeat("x", keptBytes))
	if events.size > keptBytes {
		t.Errorf("%d bytes are kept", events.size)
	}
}

// A reader that falls behind is disconnected; Publish does not wait for it.
func TestEventsDropSlowReader(t *testing.T) {
	events := &Events{}
	slow, _ := events.subscribe("", 0)
	for range eventBacklog {
		events.Publish("x", 1)
	}
	if readers(events) != 1 {
		t.Fatal("cut off too early")
	}
	events.Publish("x", 1)
	if readers(events) != 0 {
		t.Fatal("not cut off")
	}
	n := 0
	for range slow {
		n++
	}
	if n != eventBacklog {
		t.Errorf("%d events before the end", n)
	}
	events.unsubscribe(slow)
}

func TestEventsReadersAreBounded(t *testing.T) {
	events := &Events{}
	for range eventReaders {
		events.subscribe("", 0)
	}
	wantError(t, "one too many", ask(t, "GET", "http://"+serve(t, Options{Events: events})+"/api/v1/events", ""), 503)
}

func TestEventsConcurrently(t *testing.T) {
	(*Events)(nil).Publish("x", 1)
	events := &Events{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				events.Publish("x", strings.Repeat("y", 10))
			}
		})
		wg.Go(func() {
			for range 100 {
				reader, _ := events.subscribe("", 1)
				events.unsubscribe(reader)
			}
		})
	}
	wg.Wait()
	if readers(events) != 0 {
		t.Errorf("%d readers left", readers(events))
	}
}
