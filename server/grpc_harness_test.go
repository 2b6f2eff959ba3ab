package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpcBackend is a server of grpc-go with the service of gRPC's interoperability tests.
type grpcBackend struct {
	pb.UnimplementedTestServiceServer
	*grpc.Server
	health    *health.Server // the standard health service; it serves at first
	address   string
	calls     atomic.Int64 // that have begun
	cancelled atomic.Int64 // calls to StreamingInputCall and FullDuplexCall that the client ended early
	busy      atomic.Bool  // UnaryCall and StreamingOutputCall return UNAVAILABLE, the latter after its messages
	deadline  atomic.Int64 // of the last unary call, in milliseconds from its beginning; 0: none
}

func startGRPC(t testing.TB, options ...grpc.ServerOption) *grpcBackend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &grpcBackend{Server: grpc.NewServer(options...), health: health.NewServer(), address: l.Addr().String()}
	pb.RegisterTestServiceServer(b.Server, b)
	healthpb.RegisterHealthServer(b.Server, b.health)
	ended := make(chan error)
	go func() { ended <- b.Serve(l) }()
	t.Cleanup(func() {
		b.Stop()
		<-ended
	})
	return b
}

// EmptyCall waits for the end of the call.
func (b *grpcBackend) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	b.calls.Add(1)
	<-ctx.Done()
	b.cancelled.Add(1)
	return nil, ctx.Err()
}

// UnaryCall returns a payload of the size that is asked for, or the status, and sends the metadata of the request back.
func (b *grpcBackend) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	b.calls.Add(1)
	if b.busy.Load() {
		return nil, status.Error(codes.Unavailable, "busy")
	}
	b.deadline.Store(0)
	if at, ok := ctx.Deadline(); ok {
		b.deadline.Store(time.Until(at).Milliseconds())
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if own := md["x-own"]; len(own) > 0 {
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-own", own[0]))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("x-own-bin", own[0]))
	}
	if s := in.ResponseStatus; s != nil && s.Code != 0 {
		return nil, status.Error(codes.Code(s.Code), s.Message)
	}
	return &pb.SimpleResponse{Payload: &pb.Payload{Body: make([]byte, in.ResponseSize)}, ServerId: b.address}, nil
}

// StreamingInputCall sums up what it gets.
func (b *grpcBackend) StreamingInputCall(s grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	b.calls.Add(1)
	sum := 0
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			b.cancelled.Add(1)
			return err
		}
		sum += len(in.Payload.GetBody())
	}
}

// StreamingOutputCall returns a message for each size that is asked for.
func (b *grpcBackend) StreamingOutputCall(in *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	b.calls.Add(1)
	for _, p := range in.ResponseParameters {
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, p.Size)}}); err != nil {
			return err
		}
	}
	if b.busy.Load() {
		return status.Error(codes.Unavailable, "busy")
	}
	return nil
}

// FullDuplexCall returns a message for each that it gets.
func (b *grpcBackend) FullDuplexCall(s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	b.calls.Add(1)
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			b.cancelled.Add(1)
			return err
		}
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: in.Payload}); err != nil {
			return err
		}
	}
}

// grpcClient connects to lb with a client of grpc-go; conf is nil for a connection without TLS.
func (r *running) grpcClient(conf *tls.Config) (pb.TestServiceClient, context.Context) {
	r.t.Helper()
	creds := insecure.NewCredentials()
	if conf != nil {
		creds = credentials.NewTLS(conf)
	}
	conn, err := grpc.NewClient("passthrough:///"+r.addr(), grpc.WithTransportCredentials(creds), grpc.WithAuthority("a.test"))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	r.t.Cleanup(func() {
		cancel()
		_ = conn.Close()
	})
	return pb.NewTestServiceClient(conn), ctx
}
