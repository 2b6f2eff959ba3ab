//go:build e2e

package compose

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// load requests the time again and again, on kept and on new connections,
// until it is stopped. Every response must be a clock's.
type load struct {
	url      string
	requests atomic.Int64
	failed   atomic.Int64
	stop     context.CancelFunc
	wait     sync.WaitGroup

	mu       sync.Mutex
	failures []string // the first few, in words
}

// Four clients with a pause of 5 ms each: some hundred requests a second,
// enough that a replica's end hits requests under way, and bearable beside
// everything else on a small machine.
const (
	clients = 4
	pause   = 5 * time.Millisecond
)

func startLoad(url string) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{url: url, stop: stop}
	for i := range clients {
		transport := &http.Transport{DisableKeepAlives: i == 0}
		l.wait.Go(func() {
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: 15 * time.Second}
			for tick := time.NewTicker(pause); ; {
				select {
				case <-ctx.Done():
					tick.Stop()
					return
				case <-tick.C:
				}
				l.requests.Add(1)
				if _, err := ask(client, url); err != nil {
					l.fail(err)
				}
			}
		})
	}
	return l
}

func (l *load) fail(err error) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) < 10 {
		l.failures = append(l.failures, time.Now().Format("15:04:05.000 ")+err.Error())
	}
}

// end stops the clients after their last response and returns the failures.
func (l *load) end() []string {
	l.stop()
	l.wait.Wait()
	return l.failures
}

// ask returns the name of the replica that responds.
func ask(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var reading struct{ Replica string }
	if err := json.Unmarshal(body, &reading); resp.StatusCode != http.StatusOK || err != nil || reading.Replica == "" {
		return "", fmt.Errorf("%s: %q", resp.Status, body)
	}
	return reading.Replica, nil
}
