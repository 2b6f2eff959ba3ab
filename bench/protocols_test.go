package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

func TestParseH2load(t *testing.T) {
	const protocol = "TLS Protocol: TLSv1.3\nApplication protocol: h2\nprogress: 10% done\n"
	tests := []struct {
		name, output string
		want         load
		fails        bool
	}{
		{"all succeeded", protocol + "requests: 50 total, 50 started, 50 done, 50 succeeded, 0 failed, 0 errored, 0 timeout\n", load{requests: 50}, false},
		{"some failed", protocol + "requests: 50 total, 50 started, 50 done, 43 succeeded, 7 failed, 7 errored, 0 timeout\n", load{requests: 43, errors: 7}, false},
		{"none succeeded", protocol + "requests: 50 total, 50 started, 50 done, 0 succeeded, 50 failed, 0 errored, 0 timeout\n", load{}, true},
		{"HTTP/1.1", "Application protocol: http/1.1\nrequests: 5 total, 5 started, 5 done, 5 succeeded, 0 failed, 0 errored, 0 timeout\n", load{}, true},
		{"no report", protocol, load{}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseH2load([]byte(test.output))
			if (err != nil) != test.fails || got != test.want {
				t.Errorf("got %+v and %v, want %+v, error %v", got, err, test.want, test.fails)
			}
		})
	}
}

// What h2load sends and prints is what it is taken for.
func TestH2loadItself(t *testing.T) {
	generator := newH2load()
	if generator.program == "" {
		t.Skip("h2load is not installed")
	}
	message, err := writeGRPCMessage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	origin, err := startGRPCOrigin()
	if err != nil {
		t.Fatal(err)
	}
	defer origin.stop()
	wanted := request{url: "http://" + origin.address + "/bench.Echo/Unary", message: message}
	first, err := generator.run(t.Context(), wanted, 1, 2, time.Second)
	if err != nil || first.requests != 200 || first.errors != 0 {
		t.Fatalf("%+v and %v, want 200 requests", first, err)
	}
	generator.rates[wanted.url] = 500
	if second, err := generator.run(t.Context(), wanted, 1, 2, time.Second); err != nil || second.requests != 500 {
		t.Errorf("%+v and %v, want 500 requests", second, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := generator.run(ctx, wanted, 1, 2, time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one for the cancelled context", err)
	}
}

func TestCheckCall(t *testing.T) {
	origin, err := startGRPCOrigin()
	if err != nil {
		t.Fatal(err)
	}
	defer origin.stop()
	unencrypted := func() *http.Client {
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		return &http.Client{Transport: &http.Transport{Protocols: &protocols}}
	}
	if err := checkCall(t.Context(), unencrypted(), "http://"+origin.address+"/bench.Echo/Unary"); err != nil {
		t.Error(err)
	}
	// A server that responds to calls with something else.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	defer server.Close()
	go server.Serve(listener)
	if err := checkCall(t.Context(), unencrypted(), "http://"+listener.Addr().String()+"/bench.Echo/Unary"); err == nil {
		t.Error("a 404 is taken for the response of a call")
	}
}

func TestHTTP3Load(t *testing.T) {
	f, err := writeFixtures(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })
	server := &http3.Server{Handler: mux}
	certificate, err := tls.LoadX509KeyPair(f.certificate, f.key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLSConfig = http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}})
	defer server.Close()
	go server.Serve(conn)
	r := &running{tls: conn.LocalAddr().String()}
	s := scenario{tls: true, protocol: protocolHTTP3, path: "/ok", size: 2}
	if err := s.check(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if l, err := http3Loop(t.Context(), s.url(r), 2, 100*time.Millisecond); err != nil || l.requests == 0 || l.errors != 0 {
		t.Errorf("%+v and %v", l, err)
	}
	s.path = "/absent"
	if l, err := http3Loop(t.Context(), s.url(r), 1, 100*time.Millisecond); err == nil && l.errors == 0 {
		t.Errorf("%+v, want errors for a 404", l)
	}
}

// The documents are to compress as real ones do, neither like a single repeated line nor like noise.
func TestDocumentsCompress(t *testing.T) {
	f, err := writeFixtures(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"page.html", "list.json"} {
		content, err := os.ReadFile(filepath.Join(f.root, "files", name))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(content); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		if ratio := float64(len(content)) / float64(out.Len()); ratio < 2.5 || ratio > 8 {
			t.Errorf("%s is %.1f times as long as compressed", name, ratio)
		}
	}
}
