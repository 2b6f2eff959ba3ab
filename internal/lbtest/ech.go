package lbtest

import "crypto/ecdh"

// ECHConfigList returns the list of configurations for encrypted ClientHellos (RFC 9849 section 4) with one for an X25519 key, as clients
// get it from the DNS.
func ECHConfigList(id byte, public *ecdh.PublicKey, name string) []byte {
	key := public.Bytes()
	contents := append([]byte{id, 0, 0x20, 0, byte(len(key))}, key...) // DHKEM(X25519, HKDF-SHA256)
	contents = append(contents, 0, 4, 0, 1, 0, 1, 0, byte(len(name)))  // HKDF-SHA256, AES-128-GCM; any length of names
	contents = append(append(contents, name...), 0, 0)                 // no extensions
	config := append([]byte{0xfe, 0x0d, 0, byte(len(contents))}, contents...)
	return append([]byte{0, byte(len(config))}, config...)
}
