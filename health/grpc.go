package health

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"lb/pool"
)

// maxGRPCMessage bounds the response message in bytes; one of the health service has at most a dozen.
const maxGRPCMessage = 4 << 10

// grpcRequest returns the bytes of a call of grpc.health.v1.Health/Check on a new connection: the preface of HTTP/2, our settings, and one
// stream (https://github.com/grpc/grpc/blob/master/doc/health-checking.md, doc/PROTOCOL-HTTP2.md there).
func (s *settings) grpcRequest(b *pool.Backend, version, scheme string) []byte {
	message := []byte{0, 0, 0, 0, 0} // not compressed, and the length
	if s.Service != "" {
		message = append(message, 1<<3|2) // HealthCheckRequest.service, field 1 with a length
		message = binary.AppendUvarint(message, uint64(len(s.Service)))
		message = append(message, s.Service...)
		binary.BigEndian.PutUint32(message[1:], uint32(len(message)-5))
	}
	var block, out bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: scheme}, {Name: ":path", Value: "/grpc.health.v1.Health/Check"},
		{Name: ":authority", Value: s.host(b)}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
		{Name: "grpc-timeout", Value: strconv.FormatInt(max(s.Timeout.Milliseconds(), 1), 10) + "m"},
		{Name: "user-agent", Value: userAgent(version)},
	} {
		_ = encoder.WriteField(f)
	}
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, nil)
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = framer.WriteData(1, true, message)
	return out.Bytes()
}

// grpcResponse is what has been received of the response.
type grpcResponse struct {
	begun   bool
	status  string // of HTTP
	kind    string // Content-Type
	code    string // grpc-status; "": none yet
	text    string // grpc-message
	message []byte
	ended   bool
}

// askGRPC calls the health service and judges the response.
func (x *exchange) askGRPC(deadline time.Time, l *loop) verdict {
	s, scheme := l.settings, 0
	if secure, ok := x.conn.(*tls.Conn); ok {
		if scheme = 1; secure.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
			return verdict{failure: "the TLS handshake did not agree on HTTP/2, which gRPC needs"}
		}
	}
	if _, err := x.conn.Write(l.request[scheme]); err != nil {
		return failed(deadline, err, s)
	}
	if start, err := x.reader.Peek(5); err != nil {
		return failed(deadline, err, s)
	} else if string(start) == "HTTP/" {
		return verdict{failure: "the backend speaks HTTP/1, and gRPC needs HTTP/2"}
	}
	response, err := x.readGRPC()
	if err != nil {
		if x.limited.N <= 0 {
			err = errGRPCSize
		}
		return failed(deadline, err, s)
	}
	return verdict{failure: response.judge(s.Service)}
}

var (
	errGRPCSize   = errors.New("the gRPC response is too large")
	errGRPCStream = errors.New("a frame of HTTP/2 for another stream than ours, or before its head")
	errGRPCAway   = errors.New("the backend ended the HTTP/2 connection before the response")
)

// readGRPC reads frames until the stream ends.
func (x *exchange) readGRPC() (r grpcResponse, err error) {
	framer := http2.NewFramer(x.conn, x.reader)
	framer.SetMaxReadFrameSize(16 << 10) // the size without a setting of ours (RFC 9113 section 4.2)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.MaxHeaderListSize = 16 << 10
	for !r.ended {
		frame, err := framer.ReadFrame()
		if err != nil {
			return r, err
		}
		switch f := frame.(type) {
		case *http2.WindowUpdateFrame, *http2.PriorityFrame:
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = framer.WritePing(true, f.Data)
			}
		case *http2.GoAwayFrame:
			if f.LastStreamID < 1 {
				err = errGRPCAway
			}
		case *http2.RSTStreamFrame:
			err = fmt.Errorf("the backend reset the call: %v", f.ErrCode)
		case *http2.MetaHeadersFrame:
			err = r.addHeaders(f)
		case *http2.DataFrame:
			err = r.addData(f)
		default:
			if t := frame.Header().Type; t <= http2.FrameContinuation { // others are extensions
				err = fmt.Errorf("an unexpected %v frame of HTTP/2", t)
			}
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// addData takes over a part of the message.
func (r *grpcResponse) addData(f *http2.DataFrame) error {
	switch r.message = append(r.message, f.Data()...); {
	case f.StreamID != 1 || !r.begun:
		return errGRPCStream
	case len(r.message) > maxGRPCMessage:
		return errGRPCSize
	}
	r.ended = f.StreamEnded()
	return nil
}

// addHeaders takes over the fields of a head or of a trailer section.
func (r *grpcResponse) addHeaders(f *http2.MetaHeadersFrame) error {
	if f.StreamID != 1 {
		return errGRPCStream
	}
	if f.Truncated {
		return errGRPCSize
	}
	status := f.PseudoValue("status")
	if len(status) == 3 && status[0] == '1' { // interim
		return nil
	}
	if !r.begun {
		r.begun, r.status = true, status
	}
	r.ended = f.StreamEnded()
	for _, field := range f.RegularFields() {
		switch field.Name {
		case "content-type":
			r.kind = field.Value
		case "grpc-status":
			r.code = field.Value
		case "grpc-message":
			r.text = field.Value
		}
	}
	return nil
}

// judge says why the response means that the backend is down; "": it is up.
func (r *grpcResponse) judge(service string) string {
	switch {
	case r.status != "200":
		return fmt.Sprintf("HTTP status %.3s, no gRPC response", r.status)
	case !strings.HasPrefix(r.kind, "application/grpc"):
		return fmt.Sprintf("no gRPC response: Content-Type %.40q", r.kind)
	}
	switch r.code {
	case "0":
	case "":
		return "the gRPC response has no grpc-status"
	case "5": // NOT_FOUND
		return fmt.Sprintf("the server does not know the service %q", service)
	case "12": // UNIMPLEMENTED
		return "the server has no health service (grpc.health.v1.Health)"
	default:
		text, err := url.PathUnescape(r.text)
		if err != nil {
			text = r.text
		}
		return strings.TrimSuffix(fmt.Sprintf("gRPC status %.10s: %.200q", r.code, text), `: ""`)
	}
	state, ok := servingStatus(r.message)
	switch {
	case !ok:
		return "the response of the health service is malformed"
	case state == 1:
		return ""
	case state < uint64(len(servingNames)):
		return "serving status " + servingNames[state]
	}
	return fmt.Sprintf("serving status %d", state)
}

// servingNames are the values of HealthCheckResponse.ServingStatus.
var servingNames = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

// servingStatus reads the field status (1) of a HealthCheckResponse in its gRPC framing; fields that it does not know are skipped.
func servingStatus(b []byte) (state uint64, ok bool) {
	if len(b) < 5 || b[0] != 0 || uint64(binary.BigEndian.Uint32(b[1:])) != uint64(len(b)-5) {
		return 0, false
	}
	for b = b[5:]; len(b) > 0; {
		key, n := binary.Uvarint(b)
		if n <= 0 || key>>3 == 0 {
			return 0, false
		}
		b = b[n:]
		size := uint64(0)
		switch key & 7 {
		case 0:
			value, n := binary.Uvarint(b)
			if n <= 0 {
				return 0, false
			}
			if key>>3 == 1 {
				state = value
			}
			size = uint64(n)
		case 1:
			size = 8
		case 2:
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)) {
				return 0, false
			}
			size = uint64(n) + length
		case 5:
			size = 4
		default: // groups are not used
			return 0, false
		}
		if size > uint64(len(b)) {
			return 0, false
		}
		b = b[size:]
	}
	return state, true
}
