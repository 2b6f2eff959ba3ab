package server_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// cbc are the suites that lb does not use. The certificates of these tests are for ECDSA keys.
var cbc = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}

// TestNoCBC: lb agrees on no CBC suite with a client or a backend.
func TestNoCBC(t *testing.T) {
	t.Parallel()
	path, pair := backendPair(t)
	for name, suites := range map[string][]uint16{"CBC": cbc, "GCM": {tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}} {
		b := lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12, CipherSuites: suites}, lbtest.Respond(lbtest.OK("abc")))
		lb := start(t, "listen \"127.0.0.1:0\" {\n  tls {\n    certificate {\n      cert = \""+path+".pem\"\n      key  = \""+path+".key\"\n    }\n  }\n}\n"+
			strings.Replace(proxyTo("  tls {\n    verify = false\n  }\n", b.Addr), "route \"/\"", "route \"/ping\" {\n    respond {\n      body = \"pong\"\n    }\n  }\n  route \"/\"", 1))
		conn, err := tls.Dial("tcp", lb.addr(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: suites})
		if (err == nil) != (name == "GCM") {
			t.Errorf("a client with %s alone: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
		c := lbtest.DialTLS(t, lb.addr(), &tls.Config{InsecureSkipVerify: true})
		c.Send(aGet)
		if r := c.ReadResponse("GET"); (r.Status() == 200) != (name == "GCM") {
			t.Errorf("a backend with %s alone: %d", name, r.Status())
		}
		lb.stop()
	}
}
