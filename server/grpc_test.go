package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"lb/internal/lbtest"
)

func wantCode(t *testing.T, err error, code codes.Code) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("%v, want %v", err, code)
	}
}

// TestGRPC: all kinds of calls of a real client reach a real server, with and without TLS on either side.
func TestGRPC(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) {
			dir := t.TempDir()
			writeCertificate(t, dir+"/a", 1, "a.test")
			listen, more := plainHTTP2, "protocol = \"h2c\""
			var options []grpc.ServerOption
			var conf *tls.Config
			if secure {
				listen = "listen \"127.0.0.1:0\" {\n  tls {\n    certificate {\n      cert = \"" + dir + "/a.pem\"\n      key = \"" + dir + "/a.key\"\n    }\n  }\n}\n"
				more = "protocol = \"h2\"\ntls {\n  verify = false\n}"
				pair, err := tls.LoadX509KeyPair(dir+"/a.pem", dir+"/a.key")
				if err != nil {
					t.Fatal(err)
				}
				options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
				conf = &tls.Config{ServerName: "a.test", InsecureSkipVerify: true}
			}
			b := startGRPC(t, options...)
			lb := start(t, listen+proxyTo(more, b.address))
			c, ctx := lb.grpcClient(conf)
			grpcCalls(t, c, ctx, b)
		})
	}
}

func grpcCalls(t *testing.T, c pb.TestServiceClient, ctx context.Context, b *grpcBackend) {
	var header, trailer metadata.MD
	own := metadata.AppendToOutgoingContext(ctx, "x-own", "value")
	out, err := c.UnaryCall(own, &pb.SimpleRequest{ResponseSize: 314159, Payload: &pb.Payload{Body: make([]byte, 271828)}}, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil || len(out.Payload.Body) != 314159 || header["x-own"][0] != "value" || trailer["x-own-bin"][0] != "value" {
		t.Errorf("%v, %q, %q", err, header, trailer)
	}
	_, err = c.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: 9, Message: "\t100 % of ☺"}})
	if s := status.Convert(err); s.Code() != 9 || s.Message() != "\t100 % of ☺" {
		t.Errorf("%v", err)
	}
	_, err = c.UnimplementedCall(ctx, &pb.Empty{})
	wantCode(t, err, codes.Unimplemented)

	upload, err := c.StreamingInputCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{27182, 8, 1828, 45904, 500_000} {
		if err := upload.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, n)}}); err != nil {
			t.Error(err)
		}
	}
	if sum, err := upload.CloseAndRecv(); err != nil || sum.AggregatedPayloadSize != 27182+8+1828+45904+500_000 {
		t.Errorf("%v %v", sum, err)
	}

	download, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: []*pb.ResponseParameters{{Size: 31415}, {Size: 0}, {Size: 500_000}}})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for {
		m, err := download.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sum += len(m.Payload.GetBody())
	}
	if sum != 531415 {
		t.Errorf("%d bytes", sum)
	}

	both, err := c.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		body := make([]byte, n*1000)
		if err := both.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: body}}); err != nil {
			t.Fatal(err)
		}
		if m, err := both.Recv(); err != nil || len(m.Payload.GetBody()) != len(body) {
			t.Fatalf("%v %v", m, err)
		}
	}
	_ = both.CloseSend()
	if _, err := both.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}

	soon, cancel := context.WithTimeout(ctx, time.Minute)
	_, err = c.UnaryCall(soon, &pb.SimpleRequest{})
	cancel()
	if n := b.deadline.Load(); err != nil || n <= 0 || n > 60_000 {
		t.Errorf("the backend has a deadline of %d ms; %v", n, err)
	}
	soon, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
	_, err = c.EmptyCall(soon, &pb.Empty{})
	cancel()
	wantCode(t, err, codes.DeadlineExceeded)
	lbtest.Eventually(t, "the call has ended at the backend", func() bool { return b.cancelled.Load() == 1 })

	cancelled, cancel := context.WithCancel(ctx)
	both, err = c.FullDuplexCall(cancelled)
	if err != nil {
		t.Fatal(err)
	}
	_ = both.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: []byte("a")}})
	if _, err := both.Recv(); err != nil {
		t.Error(err)
	}
	cancel()
	_, err = both.Recv()
	wantCode(t, err, codes.Canceled)
	lbtest.Eventually(t, "the stream was cancelled at the backend", func() bool { return b.cancelled.Load() == 2 })
}

// TestGRPCErrors: lb's own errors reach gRPC clients as grpc-status; the access log and the metrics have the status of HTTP.
func TestGRPCErrors(t *testing.T) {
	b := startGRPC(t)
	pool := "\npool \"app\" {\n  protocol = \"h2c\"\n  backend \"" + b.address + "\" {}\n  timeouts {\n    response = \"100ms\"\n  }\n  eject {\n    failures = 0\n  }\n}\n"
	gone := "\npool \"gone\" {\n  protocol = \"h2c\"\n  backend \"127.0.0.1:1\" {}\n  queue {\n    while_down = \"0s\"\n  }\n}\n"
	route := func(path, more, pool string) string {
		return "  route \"" + path + "\" {\n" + more + "    proxy {\n      pool = \"" + pool + "\"\n    }\n  }\n"
	}
	const service = "/grpc.testing.TestService/"
	lb := start(t, plainHTTP2+"site \"s\" {\n"+
		route(service+"EmptyCall", "", "app")+
		route(service+"UnaryCall", "    deny = [\"127.0.0.0/8\"]\n", "app")+
		route(service+"UnimplementedCall", "", "gone")+
		"}\n"+pool+gone)
	c, ctx := lb.grpcClient(nil)
	_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
	wantCode(t, err, codes.PermissionDenied)
	_, err = c.EmptyCall(ctx, &pb.Empty{})
	wantCode(t, err, codes.DeadlineExceeded)
	_, err = c.UnimplementedCall(ctx, &pb.Empty{})
	wantCode(t, err, codes.Unavailable)
	_, err = c.CacheableUnaryCall(ctx, &pb.SimpleRequest{})
	wantCode(t, err, codes.Unimplemented)
	if !strings.Contains(status.Convert(err).Message(), "no route") {
		t.Error(err)
	}
	upload, err := c.StreamingInputCall(ctx) // which goes on while lb responds
	if err == nil {
		for err == nil {
			err = upload.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, 10_000)}})
		}
		_, err = upload.CloseAndRecv()
	}
	wantCode(t, err, codes.Unimplemented)
	lbtest.Eventually(t, "the access log has the statuses", func() bool {
		log := lb.read("access.log")
		for _, s := range []string{"403", "504", "404"} {
			if !strings.Contains(log, "\"status\":"+s) {
				return false
			}
		}
		return true
	})
}

// TestGRPCBalanced: the streams of one connection are distributed over all backends.
func TestGRPCBalanced(t *testing.T) {
	backends := []*grpcBackend{startGRPC(t), startGRPC(t), startGRPC(t)}
	lb := start(t, plainHTTP2+proxyTo("protocol = \"h2c\"", backends[0].address, backends[1].address, backends[2].address))
	c, ctx := lb.grpcClient(nil)
	const streams = 99
	for range streams {
		s, err := c.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: []byte("a")}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if n := lb.metric("lb_connections"); n != "" {
		t.Logf("%s connections of clients", n)
	}
	for _, b := range backends {
		if n := b.calls.Load(); n != streams/3 {
			t.Errorf("%d streams at %s", n, b.address)
		}
	}
}

// TestGRPCBackendStops: no call fails while a backend that stops in order sends GOAWAY, whatever is on its way to it.
func TestGRPCBackendStops(t *testing.T) {
	stops, stays := startGRPC(t), startGRPC(t)
	lb := start(t, plainHTTP2+proxyTo("protocol = \"h2c\"", stops.address, stays.address))
	c, ctx := lb.grpcClient(nil)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for i := 0; i < 50 || stays.calls.Load() < 500; i++ {
				if _, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 10}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	lbtest.Eventually(t, "calls are under way", func() bool { return stops.calls.Load() > 20 })
	stops.GracefulStop()
	clients.Wait()
}

// TestGRPCWeb: gRPC-Web is HTTP/1.1 that passes unchanged, and its errors are those of HTTP.
func TestGRPCWeb(t *testing.T) {
	const message = "\x00\x00\x00\x00\x02hi" + "\x80\x00\x00\x00\x0fgrpc-status:0\r\n"
	b := record(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: %d\r\n\r\n%s", len(message), message))
	lb := start(t, proxyTo("", b.Addr)+"site \"other\" {\n  hosts = [\"other.test\"]\n  route \"/a\" {\n    respond {}\n  }\n}\n")
	c := lb.dial()
	c.Send("POST /s/m HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 7\r\n\r\n\x00\x00\x00\x00\x02hi")
	if r := c.ReadResponse("POST"); r.Status() != 200 || r.Body != message || r.Field("Content-Type") != "application/grpc-web+proto" {
		t.Errorf("%+v", r)
	}
	if head, body := b.last(); body != "\x00\x00\x00\x00\x02hi" || !strings.HasPrefix(head, "POST /s/m HTTP/1.1\r\n") {
		t.Errorf("%q %q", head, body)
	}
	c.Send("POST /b HTTP/1.1\r\nHost: other.test\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 0\r\n\r\n")
	if r := c.ReadResponse("POST"); r.Status() != 404 {
		t.Errorf("%+v", r)
	}
	c.Send("POST /b HTTP/1.1\r\nHost: other.test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n")
	if r := c.ReadResponse("POST"); r.Status() != 200 || r.Field("Grpc-Status") != "12" || r.Field("Content-Length") != "0" {
		t.Errorf("%+v", r)
	}
}
