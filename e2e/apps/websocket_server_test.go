//go:build e2e

package apps

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/coder/websocket"
)

const python = "/usr/bin/python3" // Debian's, which sees Debian's modules

// socketServers start a WebSocket server of each kind. All do the same: they echo; on /ping they send a message when
// their ping gets a pong, on /close they close with 4001, on /refuse they respond with 403; and they print how
// each connection ended.
var socketServers = map[string]func(t *testing.T, address string) *process{
	"python": func(t *testing.T, address string) *process {
		needModules(t, "websockets.legacy.client")
		return launch(t, nil, python, filepath.Join("testdata", "websocket", "server.py"), port(address))
	},
	"node": func(t *testing.T, address string) *process {
		node, modules := need(t, "node"), "/usr/share/nodejs"
		if _, err := os.Stat(modules + "/ws"); err != nil {
			t.Skip("node-ws is not installed")
		}
		return launch(t, []string{"NODE_PATH=" + modules}, node, filepath.Join("testdata", "websocket", "server.js"), port(address))
	},
	"go": func(t *testing.T, address string) *process {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		return launch(t, []string{echoAddress + "=" + address}, self)
	},
}

// startSockets starts a WebSocket server and returns its address.
func startSockets(t *testing.T, kind string) (*process, string) {
	t.Helper()
	address := freePorts(t, 1)[0]
	server := socketServers[kind](t, address)
	eventually(t, "the "+kind+" server listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return server, address
}

// echoAddress is the variable that makes this program a WebSocket server instead of a test.
const echoAddress = "LB_TEST_ECHO"

// serveEcho is the server of the kind "go".
func serveEcho(address string) error {
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			http.Error(w, "no entry", http.StatusForbidden)
			return
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, InsecureSkipVerify: true})
		if err != nil {
			return
		}
		ws.SetReadLimit(-1)
		err = talk(r.Context(), ws, r.URL.Path)
		fmt.Println("closed", closeCode(err))
	}))
}

func talk(ctx context.Context, ws *websocket.Conn, path string) error {
	switch path {
	case "/close":
		return ws.Close(4001, "done")
	case "/ping":
		ctx = ws.CloseRead(ctx) // which reads the pong
		if err := ws.Ping(ctx); err != nil {
			return err
		}
		if err := ws.Write(ctx, websocket.MessageText, []byte("ponged")); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	for {
		kind, message, err := ws.Read(ctx)
		if err == nil {
			err = ws.Write(ctx, kind, message)
		}
		if err != nil {
			return err
		}
	}
}

// closeCode is the other side's close code, 1006 if there is none (RFC 6455 section 7.4.1).
func closeCode(err error) int {
	if code := websocket.CloseStatus(err); code >= 0 {
		return int(code)
	}
	return int(websocket.StatusAbnormalClosure)
}
