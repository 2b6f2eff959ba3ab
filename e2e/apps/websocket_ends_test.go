//go:build e2e

package apps

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
)

// follower is a client that sends and reads without end.
type follower struct {
	name   string
	echoes func() int // received so far
	ended  func() int // the close code, 0 while the connection is open
}

// followers connect every kind of client to lb, plain and over TLS, and return when all have had an echo.
func followers(t *testing.T, lb *socketFront) []follower {
	t.Helper()
	var all []follower
	for scheme, base := range map[string]string{"ws": lb.ws, "wss": lb.wss} {
		for client, follow := range map[string]func(*testing.T, *socketFront, string) follower{
			"go": followGo, "python": followPython, "chromium": followChromium,
		} {
			f := follow(t, lb, base)
			f.name = client + " " + scheme
			all = append(all, f)
		}
	}
	further(t, all)
	return all
}

// further waits until each client has had another echo on the connection that it has.
func further(t *testing.T, all []follower) {
	t.Helper()
	for _, f := range all {
		before := f.echoes()
		eventually(t, f.name+" has another echo", func() bool {
			if code := f.ended(); code != 0 {
				t.Fatalf("%s: the connection ended with %d", f.name, code)
			}
			return f.echoes() > before+1 // one may have been in flight
		})
	}
}

func wantEnds(t *testing.T, all []follower, want int) {
	t.Helper()
	for _, f := range all {
		eventually(t, f.name+"'s connection ends", func() bool { return f.ended() != 0 })
		if code := f.ended(); code != want {
			t.Errorf("%s: the connection ended with %d, want %d", f.name, code, want)
		}
	}
}

const pause = 50 * time.Millisecond // between two messages of a follower

func followGo(t *testing.T, lb *socketFront, base string) follower {
	t.Helper()
	ws, _, err := lb.dial(t, base+"/")
	if err != nil {
		t.Fatal(err)
	}
	var echoes, ended atomic.Int64
	go func() {
		for n := 1; ; n++ {
			err := ws.Write(context.Background(), websocket.MessageText, []byte(strconv.Itoa(n)))
			if err == nil {
				_, _, err = ws.Read(context.Background())
			}
			if err != nil {
				ended.Store(int64(closeCode(err)))
				return
			}
			echoes.Store(int64(n))
			time.Sleep(pause)
		}
	}()
	return follower{echoes: func() int { return int(echoes.Load()) }, ended: func() int { return int(ended.Load()) }}
}

func followPython(t *testing.T, lb *socketFront, base string) follower {
	t.Helper()
	needModules(t, "websockets.legacy.client")
	p := launch(t, nil, python, "testdata/websocket/client.py", "follow", base, lb.certificate)
	last := func(word string) (n int) {
		if all := regexp.MustCompile(word+` (\d+)\n`).FindAllStringSubmatch(p.out.String(), -1); all != nil {
			n, _ = strconv.Atoi(all[len(all)-1][1])
		}
		return n
	}
	return follower{echoes: func() int { return last("echoes") }, ended: func() int { return last("ended") }}
}

func followChromium(t *testing.T, lb *socketFront, base string) follower {
	t.Helper()
	ctx := openPage(t, lb.url)
	evaluate := func(script string) int {
		n, err := chromedp.Run(ctx, chromedp.Evaluate[int](script))
		if err != nil {
			t.Fatalf("Chromium: %v", err)
		}
		return n
	}
	evaluate(fmt.Sprintf("follow(%q); 0", base))
	return follower{echoes: func() int { return evaluate("window.echoes") }, ended: func() int { return evaluate("window.ended") }}
}

// TestWebSocketsOutliveReload: a reload that keeps the route and adds another closes none; then lb stops, and each
// client and the server get the close code for going away (1001).
func TestWebSocketsOutliveReload(t *testing.T) {
	server, address := startSockets(t, "python")
	const grace = "shutdown {\n  grace = \"1s\"\n}\n"
	lb := startSocketFront(t, address, grace)
	all := followers(t, lb)
	lb.upgraded(t, strconv.Itoa(len(all)))

	lb.configure(t, strings.Replace(lb.text, "site \"s\" {\n", "site \"s\" {\n  route \"= /new\" {\n    respond {\n      status = 200\n      body   = \"new\"\n    }\n  }\n", 1))
	_ = lb.Process.Signal(syscall.SIGHUP)
	eventually(t, "the new route", func() bool { _, body := get(lb.url + "/new"); return body == "new" })
	further(t, all)
	lb.upgraded(t, strconv.Itoa(len(all)))

	_ = lb.Process.Signal(syscall.SIGTERM)
	wantEnds(t, all, 1001)
	if status := lb.exits(t); status != 0 {
		t.Errorf("exit %d", status)
	}
	eventually(t, "the server has all close codes", func() bool { return strings.Count(server.out.String(), "closed 1001") == len(all) })
}

// TestWebSocketServerDies: if the server is killed, its clients see an abnormal closure (1006), and new connections
// work after its restart.
func TestWebSocketServerDies(t *testing.T) {
	for _, kind := range []string{"python", "node"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			server, address := startSockets(t, kind)
			lb := startSocketFront(t, address, "")
			all := followers(t, lb)
			server.kill()
			wantEnds(t, all, 1006)
			lb.upgraded(t, "0")
			socketServers[kind](t, address)
			eventually(t, "an echo of the new server", func() bool {
				ws, _, err := lb.dial(t, lb.ws+"/")
				if err != nil {
					return false
				}
				return ws.Close(websocket.StatusNormalClosure, "") == nil
			})
		})
	}
}
