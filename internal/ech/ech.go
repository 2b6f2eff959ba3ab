// Package ech reads keys of encrypted ClientHellos (RFC 9849).
package ech

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// version is that of the configurations that are known (RFC 9849 section 4).
const version = 0xfe0d

// Parse reads a PEM file as "openssl ech" writes it: a PRIVATE KEY, followed by an ECHCONFIG, the list of its configurations. There may
// be several of these pairs. The configurations of the first are sent to clients that use one that is not known any more.
func Parse(text []byte) (keys []tls.EncryptedClientHelloKey, err error) {
	var key *ecdh.PrivateKey
	pairs := 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		switch block.Type {
		case "PRIVATE KEY":
			if key, err = privateKey(block.Bytes); err != nil {
				return nil, err
			}
		case "ECHCONFIG":
			if key == nil {
				return nil, errors.New("an ECHCONFIG comes before its PRIVATE KEY")
			}
			configs, err := configsOf(block.Bytes, key)
			if err != nil {
				return nil, err
			}
			for _, config := range configs {
				keys = append(keys, tls.EncryptedClientHelloKey{Config: config, PrivateKey: key.Bytes(), SendAsRetry: pairs == 0})
			}
			pairs++
			key = nil
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no pair of a PRIVATE KEY and an ECHCONFIG")
	}
	return keys, nil
}

func privateKey(der []byte) (*ecdh.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("cannot read the PRIVATE KEY: %w", err)
	}
	switch key := key.(type) {
	case *ecdh.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key.ECDH()
	}
	return nil, fmt.Errorf("a key of the kind %T cannot be used", key)
}

// configsOf splits a list of configurations (RFC 9849 section 4), and takes those that the key is for.
func configsOf(list []byte, key *ecdh.PrivateKey) (configs [][]byte, err error) {
	errMalformed := errors.New("the ECHCONFIG is malformed")
	if len(list) < 2 || int(list[0])<<8|int(list[1]) != len(list)-2 {
		return nil, errMalformed
	}
	for list = list[2:]; len(list) > 0; {
		if len(list) < 4 {
			return nil, errMalformed
		}
		size := 4 + int(list[2])<<8 + int(list[3])
		if size > len(list) {
			return nil, errMalformed
		}
		config := list[:size]
		list = list[size:]
		if int(config[0])<<8|int(config[1]) != version {
			continue
		}
		const before = 4 + 1 + 2 + 2 // version and length, identifier, KEM, length of the public key
		if len(config) < before {
			return nil, errMalformed
		}
		public := config[before:]
		if n := int(config[before-2])<<8 | int(config[before-1]); n <= len(public) {
			public = public[:n]
		}
		if !bytes.Equal(public, key.PublicKey().Bytes()) {
			return nil, errors.New("the ECHCONFIG is for another key than the PRIVATE KEY before it")
		}
		configs = append(configs, config)
	}
	if len(configs) == 0 {
		return nil, fmt.Errorf("the ECHCONFIG has no configuration of the version %#x", version)
	}
	return configs, nil
}
