package admin

import (
	"bufio"
	"net/http"
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
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

func TestEvents(t *testing.T) {
	events := &Events{}
	events.Publish("reload", Reload{OK: true}) // nobody listens
	address := serve(t, Options{Events: events})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	request, _ := http.NewRequest("GET", "http://"+address+"/api/v1/events", nil)
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	eventually(t, "a reader", func() bool { return readers(events) == 1 })
	events.Publish("backend", pool.Event{Pool: "app", Backend: "b\n\nevent: forged", From: "up", To: "down"})
	events.Publish("reload", Reload{OK: true})
	want := []string{"retry: 2000", "",
		"event: backend", `data: {"time":"0001-01-01T00:00:00Z","pool":"app","backend":"b\n\nevent: forged","from":"up","to":"down","reason":""}`, "",
		"event: reload", `data: {"time":"0001-01-01T00:00:00Z","ok":true}`, ""}
	lines := bufio.NewScanner(response.Body)
	for _, w := range want {
		if !lines.Scan() || lines.Text() != w {
			t.Fatalf("got %q, want %q (%v)", lines.Text(), w, lines.Err())
		}
	}
	response.Body.Close()
	eventually(t, "no reader", func() bool { return readers(events) == 0 })
}

// A reader that falls behind is cut off; nobody waits for it.
func TestEventsDropSlowReader(t *testing.T) {
	events := &Events{}
	slow := events.subscribe()
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
		events.subscribe()
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
				events.unsubscribe(events.subscribe())
			}
		})
	}
	wg.Wait()
	if readers(events) != 0 {
		t.Errorf("%d readers left", readers(events))
	}
}
