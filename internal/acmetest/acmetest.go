// Package acmetest is an ACME server for tests: Pebble in this process, with a name server of its own.
package acmetest

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/core"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

// Options say how a server behaves.
type Options struct {
	// Profiles are the lifetimes of certificates in seconds, by the name of their profile; nil: an hour by "default".
	Profiles map[string]uint64
	// KeyID and MACKey are those of the external account that clients need; empty: they need none.
	KeyID, MACKey string
	// Impatient has clients ask for renewal information again after a second rather than after six hours (RFC 9773 section 4.3).
	Impatient bool
}

// Server is an ACME server that waits for Validate.
type Server struct {
	URL    string // of the directory
	CAFile string // by which the certificate of the server itself is verified
	TXT    string // a directory; the TXT record of a name is the content of the file NAME., with the dot

	options  Options
	store    *db.MemoryStore
	names    *names
	server   *httptest.Server
	ready    chan struct{} // closed when handler is there
	handler  http.Handler
	failing  atomic.Pointer[http.HandlerFunc]
	requests atomic.Int64
}

var quick sync.Once

// Start starts a server, which ends with the test. Requests wait until Validate was called.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	quick.Do(func() { os.Setenv("PEBBLE_VA_NOSLEEP", "1") })
	s := &Server{options: o, store: db.NewMemoryStore(), names: startNames(t), ready: make(chan struct{})}
	if o.KeyID != "" {
		if err := s.store.AddExternalAccountKeyByID(o.KeyID, o.MACKey); err != nil {
			t.Fatal(err)
		}
	}
	s.TXT = s.names.texts
	s.server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.server.Close)
	s.URL = s.server.URL + wfe.DirectoryPath
	s.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	if err := os.WriteFile(s.CAFile, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// Validate has the server begin to respond. It connects to these ports of 127.0.0.1 to validate names.
func (s *Server) Validate(httpPort, tlsPort int) {
	quiet := log.New(io.Discard, "", 0)
	profiles := map[string]ca.Profile{}
	for name, lifetime := range s.options.Profiles {
		profiles[name] = ca.Profile{Description: name, ValidityPeriod: lifetime}
	}
	if len(profiles) == 0 {
		profiles["default"] = ca.Profile{Description: "an hour", ValidityPeriod: 3600}
	}
	authority := ca.New(quiet, s.store, "", "ecdsa", 0, 1, profiles)
	validation := va.New(quiet, httpPort, tlsPort, false, s.names.address, s.store)
	front := wfe.New(quiet, s.store, validation, authority, []string{"acme.test"}, false, s.options.KeyID != "", 0, 0)
	s.handler = front.Handler()
	close(s.ready)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.ready:
	case <-r.Context().Done():
		return
	}
	s.requests.Add(1)
	if f := s.failing.Load(); f != nil {
		(*f)(w, r)
		return
	}
	if s.options.Impatient && strings.Contains(r.URL.Path, "/renewalInfo/") {
		w = &impatient{ResponseWriter: w}
	}
	s.handler.ServeHTTP(w, r)
}

// impatient sets the time after which clients ask again, see Options.
type impatient struct {
	http.ResponseWriter
	begun bool
}

func (i *impatient) WriteHeader(status int) {
	if !i.begun {
		i.begun = true
		i.Header().Set("Retry-After", "1")
	}
	i.ResponseWriter.WriteHeader(status)
}

func (i *impatient) Write(b []byte) (int, error) {
	if !i.begun {
		i.WriteHeader(http.StatusOK)
	}
	return i.ResponseWriter.Write(b)
}

// Revoke revokes a certificate. Clients that ask are told that it should have been renewed an hour ago. Pebble itself says so with a period
// of a second, which acmez takes for malformed.
func (s *Server) Revoke(t testing.TB, serial *big.Int) {
	t.Helper()
	c := s.store.GetCertificateBySerial(serial)
	if c == nil {
		t.Fatalf("there is no certificate %x", serial)
	}
	s.store.RevokeCertificate(&core.RevokedCertificate{Certificate: c, RevokedAt: time.Now()})
	start := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
	window := fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, start.Format(time.RFC3339), start.Add(30*time.Minute).Format(time.RFC3339))
	if err := s.store.SetARIResponse(serial, window); err != nil {
		t.Fatal(err)
	}
}

// Fail makes f respond to all requests; nil: the server does again.
func (s *Server) Fail(f http.HandlerFunc) {
	if f == nil {
		s.failing.Store(nil)
		return
	}
	s.failing.Store(&f)
}

// Requests returns the number of requests received.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// Block makes the server refuse certificates for a name.
func (s *Server) Block(t testing.TB, name string) {
	t.Helper()
	if err := s.store.AddBlockedDomain(name); err != nil {
		t.Fatal(err)
	}
}

// names is a name server for which all names have the address 127.0.0.1, but for those below "nowhere.test", which do not exist.
type names struct {
	address string
	texts   string // a directory
}

func startNames(t testing.TB) *names {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{address: ln.Addr().String(), texts: t.TempDir()}
	server := &dns.Server{Listener: ln, Handler: n}
	ended := make(chan struct{})
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() {
		defer close(ended)
		_ = server.ActivateAndServe()
	}()
	<-started
	t.Cleanup(func() { _ = server.Shutdown(); <-ended })
	return n
}

// ServeDNS implements dns.Handler.
func (n *names) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	response := new(dns.Msg).SetReply(request)
	for _, q := range request.Question {
		header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET}
		switch {
		case strings.HasSuffix(q.Name, "nowhere.test."):
			response.Rcode = dns.RcodeNameError
		case q.Qtype == dns.TypeA:
			response.Answer = append(response.Answer, &dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)})
		case q.Qtype == dns.TypeTXT:
			if text, err := os.ReadFile(filepath.Join(n.texts, filepath.Base(q.Name))); err == nil {
				response.Answer = append(response.Answer, &dns.TXT{Hdr: header, Txt: []string{strings.TrimSpace(string(text))}})
			}
		}
	}
	_ = w.WriteMsg(response)
}

// Lasting are goroutines that the libraries never end.
func Lasting() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"), // until five seconds after the end of the lock
	}
}
