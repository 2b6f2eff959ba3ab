package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// udpSize is the largest answer by UDP that is accepted (EDNS, RFC 6891): it fits into a packet on every path. A
// larger one is sent by TCP.
const udpSize = 1232

// exchange asks one server, by UDP and, if the answer does not fit, by TCP; see Exchange.
func exchange(ctx context.Context, server string, question dnsmessage.Question, c *Config) (*dnsmessage.Message, error) {
	query, id, err := packQuery(question)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Wait())
	defer cancel()
	if !c.TCP {
		m, err := ask(ctx, "udp", server, func(conn net.Conn) (*dnsmessage.Message, error) { return askUDP(conn, query, id, question) })
		if err != nil || !m.Truncated {
			return m, err
		}
	}
	return ask(ctx, "tcp", server, func(conn net.Conn) (*dnsmessage.Message, error) { return askTCP(conn, query, id, question) })
}

func packQuery(question dnsmessage.Question) (query []byte, id uint16, err error) {
	id = uint16(rand.Uint32())
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions:   []dnsmessage.Question{question},
		Additionals: []dnsmessage.Resource{{Body: &dnsmessage.OPTResource{}}},
	}
	if err := m.Additionals[0].Header.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, 0, err
	}
	query, err = m.Pack()
	return query, id, err
}

// ask runs one exchange on its own connection, which ends with ctx.
func ask(ctx context.Context, network, server string, run func(net.Conn) (*dnsmessage.Message, error)) (*dnsmessage.Message, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() { stop(); _ = conn.Close() }()
	m, err := run(conn)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return m, err
}

// askUDP takes the first packet that answers the query. Others, which may be forged, do not end the wait.
func askUDP(conn net.Conn, query []byte, id uint16, question dnsmessage.Question) (*dnsmessage.Message, error) {
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, 65535)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if m, err := ParseAnswer(buf[:n], id, question); err == nil {
			return m, nil
		}
	}
}

func askTCP(conn net.Conn, query []byte, id uint16, question dnsmessage.Question) (*dnsmessage.Message, error) {
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	if _, err := conn.Write(framed); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, err
	}
	return ParseAnswer(answer, id, question)
}

// ParseAnswer reads a message that answers the question, whose query had that ID. Of a truncated one only the head counts.
func ParseAnswer(packet []byte, id uint16, question dnsmessage.Question) (*dnsmessage.Message, error) {
	var p dnsmessage.Parser
	header, err := p.Start(packet)
	if err != nil {
		return nil, err
	}
	asked, err := p.Question()
	if err != nil || header.ID != id || !header.Response || asked.Type != question.Type || asked.Class != question.Class ||
		!strings.EqualFold(asked.Name.String(), question.Name.String()) {
		return nil, errors.New("the packet is not a response to the query")
	}
	m := &dnsmessage.Message{Header: header}
	if header.Truncated {
		return m, nil
	}
	if err := m.Unpack(packet); err != nil {
		return nil, fmt.Errorf("the response cannot be read: %w", err)
	}
	return m, nil
}
