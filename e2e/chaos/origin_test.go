//go:build e2e

package chaos

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// largest is the maximum size of a body, in bytes.
const largest = 300 << 10

// noise is what bodies are cut from.
var noise = func() []byte {
	b := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte("noise"))).Read(b)
	return b
}()

// body returns n bytes that are unique to the request of that number and the direction.
func body(id uint64, direction string, n int) []byte {
	at := crc32.ChecksumIEEE(fmt.Append(nil, id, direction)) % uint32(len(noise)-largest)
	return noise[at : int(at)+n]
}

// proof is what a response says about its request.
func proof(id uint64, method string, b []byte) string {
	return fmt.Sprintf("%d %s %d %08x", id, method, len(b), crc32.ChecksumIEEE(b))
}

// arrival is a request at a backend.
type arrival struct {
	backend    *origin
	idempotent bool // the request may be processed twice
	whole      bool // its body was read to the end
	begun      bool // the response was
}

// ledger records which requests reached which backends.
type ledger struct {
	mu       sync.Mutex
	arrivals map[uint64][]*arrival
}

func (l *ledger) add(id uint64, o *origin, idempotent bool) *arrival {
	a := &arrival{backend: o, idempotent: idempotent}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrivals[id] = append(l.arrivals[id], a)
	return a
}

func (l *ledger) note(flag *bool) {
	l.mu.Lock()
	*flag = true
	l.mu.Unlock()
}

// of returns a copy of a request's arrivals.
func (l *ledger) of(id uint64) (all []arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.arrivals[id] {
		all = append(all, *a)
	}
	return all
}

// forget drops a request that may arrive twice without harm.
func (l *ledger) forget(id uint64) {
	l.mu.Lock()
	delete(l.arrivals, id)
	l.mu.Unlock()
}

// origin is a backend. Its responses prove which requests it read.
type origin struct {
	name   string
	link   *link
	ledger *ledger
	server *http.Server
	ended  chan struct{}
}

func startOrigin(name, address string, orderly bool, l *ledger) (*origin, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{name: name, ledger: l, ended: make(chan struct{})}
	o.link = &link{address: address, target: ln.Addr().String(), orderly: orderly, pairs: map[*pair]struct{}{}}
	o.server = &http.Server{Handler: o}
	go func() { defer close(o.ended); _ = o.server.Serve(ln) }()
	return o, o.link.listen()
}

func (o *origin) close() {
	o.link.close()
	o.server.Close()
	<-o.ended
}

// ServeHTTP serves /?size=N&as=FRAMING&status=S&work=MS, and /healthz.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		_, _ = io.WriteString(w, "ok")
		return
	}
	id, err := strconv.ParseUint(r.Header.Get("X-Request-Id"), 10, 64)
	if err != nil {
		http.Error(w, "no number", http.StatusBadRequest)
		return
	}
	a := o.ledger.add(id, o, r.Method != http.MethodPost || r.Header.Get("Idempotency-Key") != "")
	read, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client disconnected
	}
	o.ledger.note(&a.whole)
	query := r.URL.Query()
	size, _ := strconv.Atoi(query.Get("size"))
	status, _ := strconv.Atoi(query.Get("status"))
	ms, _ := strconv.Atoi(query.Get("work"))
	time.Sleep(time.Duration(ms) * time.Millisecond)
	header := w.Header()
	header.Set("X-Proof", proof(id, r.Method, read))
	header.Set("X-Origin", o.name)
	framing := query.Get("as")
	if framing == "close" && o.link.orderly {
		framing = "chunked" // otherwise an orderly close could not be distinguished from the end of the body
	}
	switch framing {
	case "length":
		header.Set("Content-Length", strconv.Itoa(size))
	case "close":
		header.Set("Transfer-Encoding", "identity") // net/http: until the connection ends
	}
	o.ledger.note(&a.begun)
	w.WriteHeader(status)
	flusher := w.(http.Flusher)
	if framing != "length" {
		flusher.Flush()
	}
	if r.Method == http.MethodHead {
		return
	}
	for b := body(id, "down", size); len(b) > 0; {
		n := min(len(b), 20_000)
		if _, err := w.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}
