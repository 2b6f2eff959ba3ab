package server_test

import (
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"lb/internal/lbtest"
)

const (
	unaryCall  = "/grpc.testing.TestService/UnaryCall"
	outputCall = "/grpc.testing.TestService/StreamingOutputCall"
)

// TestGRPCStatus: the access log and the metrics have the status of calls, whether it is in a trailer section, in a head or lb's own.
func TestGRPCStatus(t *testing.T) {
	b := startGRPC(t)
	lb := start(t, plainHTTP2+"site \"s\" {\n  route \"= "+unaryCall+"\" {\n    proxy {\n      pool = \"app\"\n    }\n  }\n"+
		"  route \"= "+outputCall+"\" {\n    deny = [\"127.0.0.0/8\"]\n    proxy {\n      pool = \"app\"\n    }\n  }\n}\n"+
		"pool \"app\" {\n  protocol = \"h2c\"\n  backend \""+b.address+"\" {}\n}\n")
	c, ctx := lb.grpcClient(nil)
	_, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 10}) // with a trailer section
	wantCode(t, err, codes.OK)
	_, err = c.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: 9}}) // with a head alone
	wantCode(t, err, codes.FailedPrecondition)
	_, err = c.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: 99}}) // which gRPC does not have
	if err == nil {
		t.Error("no error")
	}
	stream, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{}) // of lb
	if err == nil {
		_, err = stream.Recv()
	}
	wantCode(t, err, codes.PermissionDenied)
	for code, n := range map[string]string{"0": "1", "9": "1", "2": "1"} {
		series := `lb_grpc_responses_total{pool="app",code="` + code + `"}`
		lbtest.Eventually(t, series, func() bool { return lb.metric(series) == n })
	}
	lbtest.Eventually(t, "the access log has the statuses", func() bool {
		log := lb.read("access.log")
		for _, s := range []string{`"status":200,"grpc_status":0,`, `"status":200,"grpc_status":9,`, `"status":200,"grpc_status":2,`, `"status":403,"grpc_status":7,`} {
			if strings.Count(log, s) != 1 {
				return false
			}
		}
		return true
	})
}

// TestGRPCUnavailable: UNAVAILABLE without a message is retried on another backend if the pool or the route says so, unless the request was
// too large to keep.
func TestGRPCUnavailable(t *testing.T) {
	busy, fine := startGRPC(t), startGRPC(t)
	busy.busy.Store(true)
	configure := func(inRoute, inPool string) string {
		return plainHTTP2 + "site \"s\" {\n  route \"/\" {\n    proxy {\n      pool = \"app\"\n" + inRoute + "    }\n  }\n}\n" +
			"pool \"app\" {\n  protocol = \"h2c\"\n  balance = \"first\"\n  backend \"" + busy.address + "\" {}\n  backend \"" + fine.address + "\" {}\n" +
			"  retry {\n    budget = 1\n" + inPool + "  }\n}\n"
	}
	lb := start(t, configure("", ""))
	c, ctx := lb.grpcClient(nil)
	call := func(want codes.Code, size int) {
		t.Helper()
		_, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 10, Payload: &pb.Payload{Body: make([]byte, size)}})
		wantCode(t, err, want)
	}
	reload := func(text string) {
		t.Helper()
		if err := lb.reload(text); err != nil {
			t.Fatal(err)
		}
	}
	call(codes.Unavailable, 10)
	reload(configure("", "    on = [\"unavailable\"]\n"))
	call(codes.OK, 10)
	call(codes.OK, 50_000)
	call(codes.Unavailable, 100_000)
	if n := lb.metric(`lb_retries_total{pool="app",reason="unavailable"}`); n != "2" {
		t.Errorf("%q retries", n)
	}
	stream, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: []*pb.ResponseParameters{{Size: 10}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = stream.Recv(); err != nil {
		t.Error(err)
	}
	_, err = stream.Recv() // after a message
	wantCode(t, err, codes.Unavailable)
	reload(configure("      retry_on = [\"connect\"]\n", "    on = [\"unavailable\"]\n"))
	call(codes.Unavailable, 10)
	reload(configure("      retry_on = [\"unavailable\"]\n", ""))
	call(codes.OK, 10)
	reload(configure("      retry_on = [\"unavailable\"]\n", "    attempts = 0\n"))
	call(codes.Unavailable, 10)
	if n := fine.calls.Load(); n != 3 {
		t.Errorf("%d calls at the other backend", n)
	}
}

// TestGRPCDeadline: a backend that cancels a call because its deadline has passed has not failed; one that cancels it earlier has.
func TestGRPCDeadline(t *testing.T) {
	b := scriptHTTP2(t, func(c *http2Script) {
		for {
			id, head := c.request()
			if head == "" {
				return
			}
			_ = c.WriteRSTStream(id, xhttp2.ErrCodeCancel)
		}
	})
	lb := start(t, plainHTTP2+proxyTo("protocol = \"h2c\"\neject {\n  failures = 0\n}", b.Addr))
	c := lb.dialHTTP2()
	for i, step := range []struct{ timeout, code, errors string }{{"1n", "4", "0"}, {"1H", "14", "1"}} {
		id := uint32(2*i + 1)
		c.Post(id, "/s/m", "content-type", "application/grpc", "te", "trailers", "grpc-timeout", step.timeout)
		c.WriteData(id, true, []byte("\x00\x00\x00\x00\x00"))
		if s := c.Await(id); s.Field("grpc-status") != step.code {
			t.Errorf("%+v", s)
		}
		lb.wantMetric(`lb_backend_errors_total{pool="app",backend="`+b.Addr+`",reason="reset"}`, step.errors)
	}
}
