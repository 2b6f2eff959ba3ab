package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lb/internal/lbtest"
	"lb/message"
)

func selfSigned(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// awaitEnd waits, reading nothing, until the peer's end of the stream has come.
func awaitEnd(t *testing.T, c *Conn) {
	t.Helper()
	socket := c.nc.Conn
	if c.under != nil {
		socket = c.under.Conn
	}
	raw, err := socket.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	lbtest.Eventually(t, "the end of the stream", func() bool {
		look := []unix.PollFd{{Events: unix.POLLRDHUP}}
		_ = raw.Control(func(fd uintptr) {
			look[0].Fd = int32(fd)
			_, _ = unix.Poll(look, 0)
		})
		return look[0].Revents&unix.POLLRDHUP != 0
	})
}

// TestUnheard: what is said of a kept connection that ends without an answer. That nothing was sent is said only if
// the backend cannot have read any of the request.
func TestUnheard(t *testing.T) {
	pair := selfSigned(t)
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		for _, tc := range []struct {
			name string
			ends string // before the request, or after it was read
			unix bool
			sent bool
		}{
			{"closed before", "before", false, false},
			{"closed after it was read", "after", false, true},
			{"half closed after it was read", "half after", false, true},
			{"reset after it was read", "reset", false, true},
			{"unix, closed before", "before", true, false},
			{"unix, closed after it was read", "after", true, true},
		} {
			if version != 0 && tc.unix {
				continue
			}
			name := map[uint16]string{0: "plain ", tls.VersionTLS12: "TLS 1.2 ", tls.VersionTLS13: "TLS 1.3 "}[version] + tc.name
			t.Run(name, func(t *testing.T) {
				end := make(chan struct{})
				script := func(c *lbtest.Conn) {
					if c.N > 1 {
						return
					}
					for range 3 { // so that there is something to count
						c.ReadRequest()
						c.Send(lbtest.OK("x"))
					}
					if tc.ends == "before" {
						<-end
						return
					}
					c.ReadRequest()
					switch tc.ends {
					case "half after":
						c.CloseWrite()
						<-end
					case "reset":
						c.Reset()
					}
				}
				opt := Options{MaxIdle: 1}
				switch {
				case version != 0:
					opt.TLS = &tls.Config{InsecureSkipVerify: true}
					opt.Address = lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: version}, script).Addr
				case tc.unix:
					opt.Address = lbtest.NewBackendOn(t, "unix:"+filepath.Join(t.TempDir(), "app.sock"), script).Addr
				default:
					opt.Address = lbtest.NewBackend(t, script).Addr
				}
				defer close(end)
				client := New(opt)
				defer client.Close()
				request := &message.Request{
					Method: []byte("POST"), Target: []byte("/"), Fields: []message.Field{message.NewField("Host", "a")}, Length: 4, Announced: true,
				}
				body := []byte("body")
				for range 3 {
					conn, err := client.Get(t.Context(), false)
					if err != nil {
						t.Fatal(err)
					}
					if sendErr, err := conn.Ask(request, body, nil); sendErr != nil || err != nil {
						t.Fatal(sendErr, err)
					}
					for err = error(nil); err == nil; {
						_, err = conn.ReadBody()
					}
					conn.Done(true)
				}
				conn, err := client.Get(t.Context(), false)
				if err != nil || !conn.Reused() {
					t.Fatal(err, "or a new connection")
				}
				if tc.ends == "before" {
					end <- struct{}{}
					awaitEnd(t, conn)
				}
				if client.EndsKept() {
					t.Error("the client knows too early")
				}
				sendErr, err := conn.Ask(request, body, nil)
				if sendErr != nil {
					err = sendErr
				}
				var e *Error
				if !errors.As(err, &e) || !e.Died() || e.Sent != tc.sent {
					t.Errorf("%+v, want sent %v", e, tc.sent)
				}
				if !client.EndsKept() {
					t.Error("the client does not remember")
				}
				conn.Done(false)
			})
		}
	}
}
