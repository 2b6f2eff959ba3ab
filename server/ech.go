package server

import (
	"crypto/tls"
	"sync/atomic"

	"lb/internal/ech"
)

// echFile is a file of keys of encrypted ClientHellos.
type echFile struct {
	watchedFile
	keys atomic.Pointer[[]tls.EncryptedClientHelloKey]
}

func newECHFile(path string) *echFile {
	f := &echFile{}
	f.watchedFile = watchedFile{path: path, attribute: "ech_keys", use: func(text []byte) error {
		keys, err := ech.Parse(text)
		if err == nil {
			f.keys.Store(&keys)
		}
		return err
	}}
	return f
}

// current returns the keys for a handshake.
func (f *echFile) current(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
	return *f.keys.Load(), nil
}
