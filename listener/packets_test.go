package listener

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/ipv4"

	"lb/internal/lbtest"
)

// TestTaggedPackets: a packet is for another process if its connection id begins with one of the tags.
func TestTaggedPackets(t *testing.T) {
	tags := []byte{1, 2, 3, 4}
	id := func(first, second byte) []byte { return []byte{first, second, 9, 9, 9, 9, 9, 9} }
	short := func(id []byte) []byte { return append(append([]byte{0x40}, id...), make([]byte, 20)...) }
	long := func(id []byte) []byte {
		return append(append([]byte{0xe0, 0, 0, 0, 1, byte(len(id))}, id...), make([]byte, 20)...)
	}
	for _, c := range []struct {
		packet []byte
		want   bool
	}{
		{short(id(1, 2)), true}, {short(id(3, 4)), true}, {short(id(2, 3)), false}, {short(id(1, 3)), false},
		{long(id(1, 2)), true}, {long(id(3, 4)), true}, {long(id(2, 3)), false}, {long([]byte{1, 2, 3}), false}, {long(append(id(1, 2), 0)), false},
		{nil, false}, {[]byte{0x40, 1, 2}, false}, {[]byte{0xe0, 0, 0, 0, 1, 8, 1, 2}, false},
	} {
		if got := isTagged(c.packet, tags); got != c.want {
			t.Errorf("%x: %v", c.packet, got)
		}
		if isTagged(c.packet, nil) {
			t.Errorf("%x has a tag of none", c.packet)
		}
	}
}

// TestOwnTag: a process does not take the tag of an older one.
func TestOwnTag(t *testing.T) {
	const free = 16
	var tags []byte
	for i := range 1<<16 - free {
		tags = append(tags, byte(i>>8), byte(i))
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := newPackets(&PacketSocket{UDP: udp, Tags: tags})
	defer p.close()
	if p.tag[0] != 0xff || p.tag[1] < 0x100-free {
		t.Errorf("the tag is %x", p.tag)
	}
}

// TestTakeBack: packets come from the socket again if what it was handed to ends without serving, and do not if it has served.
func TestTakeBack(t *testing.T) {
	for _, serves := range []bool{false, true} {
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		p := newPackets(&PacketSocket{UDP: udp})
		read := make(chan error, 1)
		go func() {
			m := []ipv4.Message{{Buffers: [][]byte{make([]byte, 1452)}, OOB: make([]byte, 128)}}
			_, err := p.ReadBatch(m, 0)
			read <- err
		}()
		from, err := p.share()
		if err != nil {
			t.Fatal(err)
		}
		if serves {
			newPackets(from).close()
		} else {
			from.Close()
		}
		client, err := net.DialUDP("udp", nil, udp.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("packet")); err != nil {
			t.Fatal(err)
		}
		if err, ok := lbtest.Wait(t, "the end of reading", read); ok && serves != (err == io.EOF) {
			t.Errorf("serves: %v: %v", serves, err)
		}
		client.Close()
		p.close()
	}
}

// FuzzLink: a message of a link becomes a packet that is not larger than the room for it, or none.
func FuzzLink(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, messageHead))
	f.Add(append(make([]byte, messageHead-1), 3, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, message []byte) {
		m := ipv4.Message{Buffers: [][]byte{make([]byte, 1452)}, OOB: make([]byte, 128)}
		if unpack(message, &m) && (m.N > len(m.Buffers[0]) || m.NN > len(m.OOB) || m.N+m.NN+messageHead != len(message)) {
			t.Errorf("%q became %d and %d bytes", message, m.N, m.NN)
		}
	})
}

// TestLink: a packet is the same at the other end of a link, with what the system said of it.
func TestLink(t *testing.T) {
	ours, file, err := linked()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	from := &link{UnixConn: ours, buffer: make([]byte, mostMessage)}
	to := &link{UnixConn: conn.(*net.UnixConn), buffer: make([]byte, mostMessage)}
	for _, address := range []string{"192.0.2.1:443", "[2001:db8::1]:65535"} {
		a, err := net.ResolveUDPAddr("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		packet, said := bytes.Repeat([]byte("p"), 1452), []byte("control")
		from.write(&ipv4.Message{Buffers: [][]byte{packet}, N: len(packet), OOB: said, NN: len(said), Addr: a})
		got := []ipv4.Message{{Buffers: [][]byte{make([]byte, 1452)}, OOB: make([]byte, 128)}}
		if n, err := to.read(got); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		m := &got[0]
		if m.Addr.String() != address || !bytes.Equal(m.Buffers[0][:m.N], packet) || !bytes.Equal(m.OOB[:m.NN], said) {
			t.Errorf("%v: %d bytes, %q", m.Addr, m.N, m.OOB[:m.NN])
		}
	}
	big := &ipv4.Message{Buffers: [][]byte{make([]byte, 1452)}, N: 1452, OOB: make([]byte, 128), Addr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1)}}
	for range 10_000 { // what nobody reads is lost, and nothing waits
		from.write(big)
	}
}
