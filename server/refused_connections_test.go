package server_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"lb/balancer"
	"lb/internal/lbtest"
)

const (
	getRequest  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	postRequest = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
)

// crowd has clients send requests, each on a separate connection and every third a POST, and counts the responses other than 200
// by status.
func crowd(t testing.TB, address string, clients, requests int, lines string) map[string]int {
	t.Helper()
	failed := map[string]int{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			c := lbtest.Dial(t, address)
			defer c.Close()
			for i := range requests {
				request, method := getRequest, "GET"
				if (client+i)%3 == 2 {
					request, method = postRequest, "POST"
				}
				c.Send(strings.Replace(request, "\r\n\r\n", "\r\n"+lines+"\r\n", 1))
				if r := c.ReadResponse(method); r.Status() != 200 {
					mu.Lock()
					failed[fmt.Sprintf("%s %d %v %s", method, r.Status(), r.Err, r.Body)]++
					mu.Unlock()
					if r.Err != nil {
						return
					}
				}
			}
		})
	}
	group.Wait()
	return failed
}

// fleet returns the addresses of so many backends that accept, followed by so many that refuse connections.
func fleet(t testing.TB, accepting, refusing int) []string {
	addresses, _ := named(t, accepting)
	for range refusing {
		addresses = append(addresses, deadAddress(t))
	}
	return addresses
}

// TestNoRequestFailsWhileOneAccepts: as long as one backend accepts connections, no request fails, with any algorithm, from the
// first one on, and with simultaneous clients.
func TestNoRequestFailsWhileOneAccepts(t *testing.T) {
	for _, balance := range balancer.Names() {
		for _, more := range []string{"", "  health {}\n", "  retry {\n    attempts = 0\n    budget   = 0\n  }\n  eject {\n    failures = 0\n  }\n"} {
			for refusing := 1; refusing <= 2; refusing++ {
				addresses := fleet(t, 3-refusing, refusing)
				rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
				lb := start(t, proxyTo("  balance = \""+balance+"\"\n"+more, addresses...))
				if failed := crowd(t, lb.addr(), 64, 6, ""); len(failed) > 0 {
					t.Errorf("%s, %d of 3 refuse, with %q: %v", balance, refusing, more, failed)
				}
				lb.stop()
			}
		}
	}
}

// TestNoRequestFailsInAnyFleet: the same for random fleets, algorithms, weights, limits and settings.
func TestNoRequestFailsInAnyFleet(t *testing.T) {
	for seed := range uint64(24) {
		random := rand.New(rand.NewPCG(seed, 7))
		n := 1 + random.IntN(6)
		refusing := random.IntN(n)
		addresses := fleet(t, n-refusing, refusing)
		random.Shuffle(n, func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
		names := balancer.Names()
		more := "  balance = \"" + names[random.IntN(len(names))] + "\"\n"
		for _, option := range []string{
			"  health {}\n", "  sticky {}\n", "  panic_threshold = 1\n", "  slow_start = \"1s\"\n", "  retry {\n    attempts = 0\n  }\n",
			"  eject {\n    failures = 1\n    max_percent = 0\n    duration = \"20ms\"\n  }\n", "  queue {\n    while_down = \"0s\"\n  }\n",
		} {
			if random.IntN(3) == 0 {
				more += option
			}
		}
		text := proxyTo(more, addresses...)
		for _, a := range addresses {
			switch random.IntN(5) {
			case 0:
				text = backups(text, a)
			case 1:
				text = strings.Replace(text, "backend \""+a+"\" {}", "backend \""+a+"\" {\n    weight = 5\n  }", 1)
			case 2:
				text = strings.Replace(text, "backend \""+a+"\" {}", "backend \""+a+"\" {\n    max_conns = 4\n  }", 1)
			}
		}
		lb := start(t, text)
		if failed := crowd(t, lb.addr(), 24, 8, ""); len(failed) > 0 {
			t.Errorf("seed %d, %d of %d refuse: %v\n%s", seed, refusing, n, failed, text)
		}
		lb.stop()
	}
}
