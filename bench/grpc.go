package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
)

// grpcMessage is the body of a unary call: one message of 128 bytes behind its prefix.
func grpcMessage() []byte {
	message := bodyText(128)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// startGRPCOrigin starts a backend inside the harness that responds to every unary call with its own message.
func startGRPCOrigin() (*origin, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the gRPC server: %w", err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		return stream.SendMsg(&message)
	}))
	var group sync.WaitGroup
	group.Go(func() { _ = server.Serve(listener) }) // It returns when the server is stopped.
	stop := func() {
		server.Stop()
		group.Wait()
	}
	return &origin{address: listener.Addr().String(), stop: stop}, nil
}

// rawCodec leaves messages as they are.
type rawCodec struct{}

func (rawCodec) Name() string                  { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(message []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(message)
	return nil
}

// writeGRPCMessage writes the body of a call for h2load.
func writeGRPCMessage(dir string) (path string, err error) {
	path = filepath.Join(dir, "message.grpc")
	return path, os.WriteFile(path, grpcMessage(), 0o644)
}

// checkCall makes one call, which must come back with its own message.
func checkCall(ctx context.Context, client *http.Client, url string) error {
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(grpcMessage()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("cannot call %s: %w", url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("cannot read the response to %s: %w", url, err)
	}
	if status := response.Trailer.Get("Grpc-Status"); response.ProtoMajor != 2 || response.StatusCode != http.StatusOK || status != "0" || !bytes.Equal(body, grpcMessage()) {
		return fmt.Errorf("%s responded with %s %s, grpc-status %q and %d bytes, want HTTP/2.0 200, \"0\" and %d",
			url, response.Proto, response.Status, status, len(body), len(grpcMessage()))
	}
	return nil
}
