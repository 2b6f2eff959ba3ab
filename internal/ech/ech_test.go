package ech

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// pair returns a key and its configuration as PEM.
func pair(t *testing.T, id byte) (key, config string) {
	t.Helper()
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	list := lbtest.ECHConfigList(id, private.PublicKey(), "public.test")
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "ECHCONFIG", Bytes: list}))
}

func TestParse(t *testing.T) {
	key1, config1 := pair(t, 1)
	key2, config2 := pair(t, 2)
	keys, err := Parse([]byte(key1 + config1 + "a comment\n" + key2 + config2))
	if err != nil || len(keys) != 2 || !keys[0].SendAsRetry || keys[1].SendAsRetry || bytes.Equal(keys[0].PrivateKey, keys[1].PrivateKey) {
		t.Errorf("%+v, %v", keys, err)
	}
	if keys[0].Config[0] != 0xfe || keys[0].Config[4] != 1 || keys[1].Config[4] != 2 {
		t.Errorf("%x and %x", keys[0].Config, keys[1].Config)
	}
	truncated := string(pem.EncodeToMemory(&pem.Block{Type: "ECHCONFIG", Bytes: []byte{0, 5, 0xfe, 0x0d, 0, 60, 1}}))
	for text, want := range map[string]string{
		"": "no pair", key1: "no pair", config1: "before its PRIVATE KEY", key1 + config2: "another key", key1 + truncated: "malformed",
		key1 + string(pem.EncodeToMemory(&pem.Block{Type: "ECHCONFIG", Bytes: []byte{0, 4, 0xfe, 0x0a, 0, 0}})): "no configuration of the version 0xfe0d",
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})):                         "cannot read the PRIVATE KEY",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzParse: no input causes a panic, and configurations are parts of the text.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0, 4, 0xfe, 0x0a, 0, 0})
	f.Add([]byte{0, 9, 0xfe, 0x0d, 0, 5, 1, 0, 0x20, 0, 32})
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(lbtest.ECHConfigList(1, private.PublicKey(), "a"))
	f.Fuzz(func(t *testing.T, list []byte) {
		configs, err := configsOf(list, private)
		if (err == nil) != (len(configs) > 0) {
			t.Errorf("%x, %v", configs, err)
		}
	})
}
