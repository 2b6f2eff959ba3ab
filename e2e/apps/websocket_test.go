//go:build e2e

package apps

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
)

// socketFront is an lb with a plain and a TLS listener before a WebSocket server.
type socketFront struct {
	*balancer
	ws, wss     string // addresses without a path
	certificate string // file
	text        string // of the configuration
	client      *http.Client
}

// startSocketFront runs lb before the server at address; more is put behind its configuration.
func startSocketFront(t *testing.T, address, more string) *socketFront {
	t.Helper()
	dir, secure := t.TempDir(), freePorts(t, 1)[0]
	roots := x509.NewCertPool()
	roots.AddCert(certify(t, dir, "clock.test", 1))
	text := "listen \"" + secure + "\" {\n  tls {\n    certificate {\n      cert = \"clock.test.pem\"\n      key  = \"clock.test.key\"\n    }\n  }\n}\n" +
		proxyConfig(backend(address)) + more
	lb := startLB(t, dir, text)
	return &socketFront{
		balancer: lb, ws: strings.Replace(lb.url, "http:", "ws:", 1), wss: "wss://" + secure,
		certificate: filepath.Join(dir, "clock.test.pem"), text: text,
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "clock.test"}}},
	}
}

// dial opens a WebSocket; it ends with the test.
func (f *socketFront) dial(t *testing.T, url string, subprotocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: f.client, Subprotocols: subprotocols})
	if err == nil {
		ws.SetReadLimit(-1)
		t.Cleanup(func() { _ = ws.CloseNow() })
	}
	return ws, response, err
}

// upgraded waits until lb counts that many upgraded connections.
func (f *socketFront) upgraded(t *testing.T, want string) {
	t.Helper()
	eventually(t, want+" upgraded connections", func() bool {
		_, page := get("http://" + f.admin + "/metrics")
		return strings.Contains(page, "lb_upgraded_connections{site=\"s\"} "+want+"\n")
	})
}

// TestWebSockets: all features of WebSocket between three kinds of clients and three kinds of servers, plain and over TLS.
func TestWebSockets(t *testing.T) {
	for kind := range socketServers {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			server, address := startSockets(t, kind)
			lb := startSocketFront(t, address, "")
			for scheme, base := range map[string]string{"ws": lb.ws, "wss": lb.wss} {
				t.Run(scheme, func(t *testing.T) {
					for name, converse := range map[string]func(*testing.T, *socketFront, string){
						"go": converse, "python": conversePython, "chromium": converseChromium,
					} {
						t.Run(name, func(t *testing.T) {
							before := strings.Count(server.out.String(), "closed 4002")
							converse(t, lb, base)
							eventually(t, "the server has the client's close code", func() bool {
								return strings.Count(server.out.String(), "closed 4002") > before
							})
						})
					}
				})
			}
			lb.upgraded(t, "0")
		})
	}
}

// converse tests every feature of a client once.
func converse(t *testing.T, lb *socketFront, base string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, response, err := lb.dial(t, base+"/", "other", "chat")
	if err != nil {
		t.Fatal(err)
	}
	if ws.Subprotocol() != "chat" || response.Header.Get("X-Request-Id") == "" {
		t.Errorf("subprotocol %q, header %v", ws.Subprotocol(), response.Header)
	}
	random := rand.NewChaCha8([32]byte{3})
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		message := make([]byte, size)
		_, _ = random.Read(message)
		for kind, sent := range map[websocket.MessageType][]byte{websocket.MessageBinary: message, websocket.MessageText: bytes.Repeat([]byte("x"), size)} {
			if err := ws.Write(ctx, kind, sent); err != nil {
				t.Fatalf("cannot send %d bytes: %v", size, err)
			}
			wantMessage(t, ctx, ws, kind, sent)
		}
	}
	fragments(t, ctx, ws)
	wantMessage(t, ctx, ws, websocket.MessageText, []byte("in three parts"))

	reads := make(chan error, 1)
	go func() { // pongs are handled only during a read
		_, last, err := ws.Read(ctx)
		if err == nil && string(last) != "last" {
			err = errors.New("read " + string(last))
		}
		reads <- err
	}()
	if err := ws.Ping(ctx); err != nil {
		t.Errorf("a ping gets no pong: %v", err)
	}
	if err := ws.Write(ctx, websocket.MessageText, []byte("last")); err != nil {
		t.Error(err)
	}
	if err := <-reads; err != nil {
		t.Error(err)
	}
	if err := ws.Close(4002, "bye"); err != nil {
		t.Errorf("the close gets no response: %v", err)
	}
	converseServer(t, ctx, lb, base)
}

func fragments(t *testing.T, ctx context.Context, ws *websocket.Conn) {
	t.Helper()
	w, err := ws.Writer(ctx, websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"in ", "three ", "parts"} {
		if _, err := io.WriteString(w, part); err != nil { // a frame of its own
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func wantMessage(t *testing.T, ctx context.Context, ws *websocket.Conn, kind websocket.MessageType, want []byte) {
	t.Helper()
	got, message, err := ws.Read(ctx)
	if err != nil || got != kind || !bytes.Equal(message, want) {
		t.Fatalf("%v of %d bytes came back as %v of %d bytes, %v", kind, len(want), got, len(message), err)
	}
}

// converseServer tests what the server starts: a ping, a close, a refusal.
func converseServer(t *testing.T, ctx context.Context, lb *socketFront, base string) {
	t.Helper()
	ws, _, err := lb.dial(t, base+"/ping")
	if err != nil {
		t.Fatal(err)
	}
	wantMessage(t, ctx, ws, websocket.MessageText, []byte("ponged"))
	_ = ws.CloseNow()

	if ws, _, err = lb.dial(t, base+"/close"); err != nil {
		t.Fatal(err)
	}
	_, _, err = ws.Read(ctx)
	if closed := (websocket.CloseError{}); !errors.As(err, &closed) || closed.Code != 4001 || closed.Reason != "done" {
		t.Errorf("the server's close came as %v", err)
	}

	_, response, err := lb.dial(t, base+"/refuse")
	if err == nil || response == nil {
		t.Fatalf("not refused: %v", err)
	}
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusForbidden || string(body) != "no entry\n" {
		t.Errorf("refused with %s %q", response.Status, body)
	}
}

func conversePython(t *testing.T, lb *socketFront, base string) {
	needModules(t, "websockets.legacy.client")
	out, err := exec.Command(python, "testdata/websocket/client.py", "converse", base, lb.certificate).CombinedOutput()
	if err != nil {
		t.Errorf("the Python client: %v\n%s", err, out)
	}
}

func converseChromium(t *testing.T, lb *socketFront, base string) {
	ctx := openPage(t, lb.url)
	wrong, err := chromedp.Run(ctx, chromedp.Evaluate[string]("converse('"+base+"')", chromedp.EvalAwaitPromise))
	if err != nil || wrong != "" {
		t.Errorf("Chromium: %v %s", err, wrong)
	}
}

// openPage starts a browser with the functions of client.js in a page from url, whatever that page is: only
// pages from this machine may connect to it. The browser ends with the test.
func openPage(t *testing.T, url string) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(need(t, "chromium")), chromedp.NoSandbox, chromedp.IgnoreCertErrors)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	script, err := os.ReadFile("testdata/websocket/client.js")
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("cannot start the browser: %v", err)
	}
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](string(script)+";undefined")); err != nil {
		t.Fatalf("cannot load the script: %v", err)
	}
	return ctx
}
