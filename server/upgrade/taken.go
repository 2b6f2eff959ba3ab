package upgrade

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Taken is what the process before has handed over. Nil, which all methods take, is nothing.
type Taken struct {
	descriptors
	secret []byte
}

// TakeOver returns what another process hands over; nil if none does. It takes it out of the environment.
func TakeOver() (*Taken, error) {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(variable)
	t := &Taken{}
	if err := json.Unmarshal([]byte(text), &t.descriptors); err != nil {
		return nil, fmt.Errorf("cannot take over: %s: %w", variable, err)
	}
	if t.descriptors.Secret != 0 {
		r := os.NewFile(uintptr(t.descriptors.Secret), "secret")
		defer r.Close()
		var err error
		if t.secret, err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("cannot take over the secret of sticky cookies: %w", err)
		}
	}
	unix.CloseOnExec(t.Ready)
	if t.descriptors.Overrides != 0 {
		unix.CloseOnExec(t.descriptors.Overrides)
	}
	return t, nil
}

// Secret returns the secret of the process before; nil if it gave none.
func (t *Taken) Secret() []byte {
	if t == nil {
		return nil
	}
	return t.secret
}

// Addresses returns the configured addresses of the listeners that the process before had.
func (t *Taken) Addresses() (addresses []string) {
	if t != nil {
		for address := range t.descriptors.Listeners {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// Listeners adds the sockets that are wanted to those inherited. The others are closed:
// the process before still serves the clients that have connected to them.
func (t *Taken) Listeners(wanted []Wanted, inherited map[string]net.Listener) error {
	if t == nil {
		return nil
	}
	for address, fd := range t.descriptors.Listeners {
		ln, err := fromDescriptor(fd)
		if err != nil {
			return fmt.Errorf("cannot take over the listener %q: %w", address, err)
		}
		if has(wanted, address) {
			inherited[address] = ln
		} else {
			ln.Close()
		}
	}
	return nil
}

// Packets returns the files of the UDP socket for address if one is handed over. It does so once.
func (t *Taken) Packets(address string) (p Packets, ok bool) {
	if t == nil {
		return p, false
	}
	fds, ok := t.descriptors.Packets[address]
	if !ok {
		return p, false
	}
	delete(t.descriptors.Packets, address)
	return Packets{UDP: os.NewFile(uintptr(fds.UDP), "udp"), Link: os.NewFile(uintptr(fds.Link), "link"), Tags: fds.Tags}, true
}

// Admin returns the admin listener for address if it is handed over; else nil. It does so once: the
// descriptor's number means something else afterwards.
func (t *Taken) Admin(address string) (net.Listener, error) {
	if t == nil {
		return nil, nil
	}
	fd, ok := t.descriptors.Admin[address]
	if !ok {
		return nil, nil
	}
	delete(t.descriptors.Admin, address)
	return fromDescriptor(fd)
}

// CloseRest closes what was not asked for: clients of an admin listener would hang.
func (t *Taken) CloseRest() {
	if t == nil {
		return
	}
	for _, fd := range t.descriptors.Admin {
		_ = unix.Close(fd)
	}
	t.descriptors.Admin = nil
	for _, p := range t.descriptors.Packets {
		_ = unix.Close(p.UDP)
		_ = unix.Close(p.Link)
	}
	t.descriptors.Packets = nil
}

func fromDescriptor(fd int) (net.Listener, error) {
	file := os.NewFile(uintptr(fd), "listener")
	if file == nil {
		return nil, unix.EBADF
	}
	defer file.Close()
	return net.FileListener(file)
}

// Overrides asks the process before what was set for the backends at run time, and has it read. It does nothing if the
// process before has none to give.
func (t *Taken) Overrides(read func(io.Reader) error) error {
	if t == nil || t.descriptors.Overrides == 0 {
		return nil
	}
	r := os.NewFile(uintptr(t.descriptors.Overrides), "overrides")
	defer r.Close()
	if _, err := unix.Write(t.Ready, []byte{overridesWanted}); err != nil {
		return err
	}
	return read(r)
}

// Done notifies the previous process that this one serves.
func (t *Taken) Done() {
	if t == nil {
		return
	}
	ready := os.NewFile(uintptr(t.Ready), "ready")
	_, _ = ready.Write([]byte{1})
	_ = ready.Close()
}
