//go:build e2e

package apps

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is a stream of GETs at a steady rate, on kept connections and on new ones.
type load struct {
	served, failed atomic.Int64
	first          atomic.Pointer[string] // the first failure
	end            chan struct{}
	group          sync.WaitGroup
}

func startLoad(url string, clients int, perSecond int) *load {
	return startLoadWith(url, clients, perSecond, func() *http.Transport { return &http.Transport{} })
}

// startLoadWith gives each client its own transport; every fourth client does not keep connections.
func startLoadWith(url string, clients int, perSecond int, transport func() *http.Transport) *load {
	l := &load{end: make(chan struct{})}
	for i := range clients {
		tr := transport()
		tr.DisableKeepAlives = i%4 == 0
		client := &http.Client{Timeout: patience, Transport: tr}
		l.group.Go(func() {
			defer client.CloseIdleConnections()
			tick := time.NewTicker(time.Second * time.Duration(clients) / time.Duration(perSecond))
			defer tick.Stop()
			for {
				select {
				case <-l.end:
					return
				case <-tick.C:
					l.once(client, url)
				}
			}
		})
	}
	return l
}

func (l *load) once(client *http.Client, url string) {
	response, err := client.Get(url)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %s", response.Status)
		}
	}
	l.served.Add(1)
	if err != nil {
		l.failed.Add(1)
		text := err.Error()
		l.first.CompareAndSwap(nil, &text)
	}
}

// until waits for that many requests in all.
func (l *load) until(t *testing.T, n int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d requests", n), func() bool { return l.served.Load() >= n })
}

func (l *load) stop() (served, failed int64, first string) {
	close(l.end)
	l.group.Wait()
	if p := l.first.Load(); p != nil {
		first = *p
	}
	return l.served.Load(), l.failed.Load(), first
}
