package server_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// clientPair writes a self-signed certificate to path and returns it.
func clientPair(t *testing.T, path string) tls.Certificate {
	t.Helper()
	writeCertificate(t, path, 7, "client.test")
	pair, err := tls.LoadX509KeyPair(path+".pem", path+".key")
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// TestClientCert: the backend gets the verified certificate of a client in Client-Cert (RFC 9440), and never a Client-Cert field
// that a client has sent, however it is spelled and on whichever listener.
func TestClientCert(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeCertificate(t, dir+"/c", 1, "clock.test")
	good, bad := clientPair(t, dir+"/client"), clientPair(t, dir+"/other")
	value := ":" + base64.StdEncoding.EncodeToString(good.Certificate[0]) + ":"
	backend := record(t, lbtest.OK("x"))
	text := func(verify string) string {
		return strings.Replace(tlsListener, "    certificate {", fmt.Sprintf("    client_ca = %q\n    client_verify = %q\n    certificate {", dir+"/client.pem", verify), 1) +
			"listen \"0.0.0.0:0\" {}\n" + proxyTo("", backend.Addr)
	}
	lb := startTLS(t, dir+"/c", text("optional"))
	const forged = "Client-Cert: :Zm9yZ2Vk:\r\nclient_cert: :Zm9yZ2Vk:\r\nCLIENT-CERT-CHAIN: :Zm9yZ2Vk:\r\nclient.cert: :Zm9yZ2Vk:\r\nClient_Cert_Chain: :Zm9yZ2Vk:\r\n"
	sessions := tls.NewLRUClientSessionCache(4)
	request := func(certificates ...tls.Certificate) error {
		c, err := tls.Dial("tcp", lb.addr(), &tls.Config{ServerName: "clock.test", InsecureSkipVerify: true, Certificates: certificates, ClientSessionCache: sessions})
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: clock.test\r\n" + forged + "Connection: close\r\n\r\n")); err != nil {
			return err
		}
		b := make([]byte, 12)
		if _, err := c.Read(b); err != nil {
			return err
		}
		if string(b) != "HTTP/1.1 200" {
			return fmt.Errorf("%q", b)
		}
		for { // the session ticket follows the response
			if _, err := c.Read(make([]byte, 1024)); err != nil {
				return nil
			}
		}
	}
	want := func(what, value string) {
		t.Helper()
		head, _ := backend.last()
		if got := strings.Join(lbtest.Fields(head, "Client-Cert"), "|"); got != value {
			t.Errorf("%s: Client-Cert %q, want %q", what, got, value)
		}
		if strings.Contains(head, "Zm9yZ2Vk") {
			t.Errorf("%s: the backend gets what the client wrote: %q", what, head)
		}
	}
	if err := request(); err != nil {
		t.Fatal(err)
	}
	want("no certificate", "")
	sessions = tls.NewLRUClientSessionCache(4)
	for _, what := range []string{"a good one", "a good one, resumed"} {
		if err := request(good); err != nil {
			t.Fatal(err)
		}
		want(what, value)
	}
	for _, certificates := range [][]tls.Certificate{nil, {good}} {
		conn, err := tls.Dial("tcp", lb.addr(), &tls.Config{ServerName: "clock.test", InsecureSkipVerify: true, NextProtos: []string{"h2"}, Certificates: certificates})
		if err != nil {
			t.Fatal(err)
		}
		c := lbtest.NewHTTP2(t, conn)
		c.Headers(1, true, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "clock.test",
			"client-cert", ":Zm9yZ2Vk:", "client_cert", ":Zm9yZ2Vk:", "client.cert", ":Zm9yZ2Vk:", "client-cert-chain", ":Zm9yZ2Vk:")
		c.Await(1)
		conn.Close()
		if certificates == nil {
			want("no certificate, over HTTP/2", "")
		} else {
			want("a good one, over HTTP/2", value)
		}
	}
	sessions = tls.NewLRUClientSessionCache(4)
	if err := request(bad); err == nil {
		t.Error("a certificate of another authority is accepted")
	}
	lbtest.Get(t, lb.Addrs()[1].String(), "/", strings.Split(strings.TrimSuffix(forged, "\r\n"), "\r\n")...)
	want("a plain connection", "")

	if err := lb.reload(strings.NewReplacer("$DIR/c.pem", dir+"/c.pem", "$DIR/c.key", dir+"/c.key").Replace(text("require"))); err != nil {
		t.Fatal(err)
	}
	if err := request(); err == nil {
		t.Error("a client without a certificate is accepted")
	}
	if err := request(good); err != nil {
		t.Error(err)
	}
	want("required", value)
}

// TestTicketsTakenOver: a process that takes over resumes the sessions of the previous one.
func TestTicketsTakenOver(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir+"/c", 1, "clock.test")
	secret := binary.BigEndian.AppendUint64(bytes.Repeat([]byte{1}, 32), uint64(time.Now().Unix()))
	secret = append(secret, bytes.Repeat([]byte{2}, 32)...)
	sessions := tls.NewLRUClientSessionCache(4)
	for _, process := range []string{"first", "second"} {
		takeSecret(t, secret)
		lb := startTLS(t, dir+"/c", tlsListener+respondSite)
		c, err := tls.Dial("tcp", lb.addr(), &tls.Config{ServerName: "clock.test", InsecureSkipVerify: true, ClientSessionCache: sessions})
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := ask(t, c, "clock.test"); !strings.Contains(status, "200") {
			t.Error(status)
		}
		if got, want := c.ConnectionState().DidResume, process == "second"; got != want {
			t.Errorf("%s process: resumed: %v", process, got)
		}
		c.Close()
		lb.stop()
	}
}

// takeSecret makes the next start take over from a process with these secrets.
func takeSecret(t *testing.T, secret []byte) {
	t.Helper()
	ready, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ready.Close() })
	secretReader, secretWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secretWriter.Write(secret); err != nil {
		t.Fatal(err)
	}
	secretWriter.Close()
	text, _ := json.Marshal(map[string]any{"ready": highDescriptor(t, writer), "secret": highDescriptor(t, secretReader)})
	writer.Close()
	secretReader.Close()
	t.Setenv("LB_HANDOVER", string(text))
}

// TestSessionKeys: sessions are resumed after reloads and by another instance with the same key file, until the key is removed
// from the file.
func TestSessionKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeCertificate(t, dir+"/c", 1, "clock.test")
	keys := func(list ...string) {
		t.Helper()
		text := "# keys\n"
		for _, k := range list {
			text += strings.Repeat(k, 32) + "\n"
		}
		if err := os.WriteFile(dir+"/keys.new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/keys.new", dir+"/keys"); err != nil {
			t.Fatal(err)
		}
	}
	keys("a1")
	replacer := strings.NewReplacer("$DIR/c.pem", dir+"/c.pem", "$DIR/c.key", dir+"/c.key")
	text := replacer.Replace(strings.Replace(tlsListener, "    certificate {", fmt.Sprintf("    session_keys = %q\n    certificate {", dir+"/keys"), 1) + respondSite)
	one, two := start(t, text), start(t, text)
	sessions := tls.NewLRUClientSessionCache(4)
	resumed := func(lb *running) bool {
		t.Helper()
		c, err := tls.Dial("tcp", lb.addr(), &tls.Config{ServerName: "clock.test", InsecureSkipVerify: true, ClientSessionCache: sessions})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if status, _ := ask(t, c, "clock.test"); !strings.Contains(status, "200") {
			t.Fatal(status)
		}
		return c.ConnectionState().DidResume
	}
	if resumed(one) || !resumed(one) || !resumed(two) {
		t.Error("a session is not resumed by the instance, or by the other one")
	}
	if err := two.reload(text); err != nil {
		t.Fatal(err)
	}
	if !resumed(two) {
		t.Error("a session is not resumed after a reload")
	}
	keys("b2", "a1")
	lbtest.Eventually(t, "the new key", func() bool { return strings.Contains(two.read("lb.log"), "a file was replaced") })
	if !resumed(two) {
		t.Error("a session of the key before is not resumed")
	}
	keys("c3")
	lbtest.Eventually(t, "the new key", func() bool { return strings.Count(two.read("lb.log"), "a file was replaced") == 2 })
	if resumed(two) {
		t.Error("a session is resumed without its key")
	}
	if err := os.WriteFile(dir+"/keys", []byte("no key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lbtest.Eventually(t, "the report", func() bool { return strings.Contains(two.read("lb.log"), "what it had before stays in use") })
	if !resumed(two) {
		t.Error("a file that cannot be used has replaced the keys")
	}
}
