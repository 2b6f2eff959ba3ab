package jwks

import (
	"strings"
	"testing"
)

const good = `{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		`{"keys":[` + good + `]}`: "",
		`{"keys":[` + good + `,{"kty":"new"},{"kty":"oct","k":"AAAA"},7]}`:          "",
		`{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0"}]}`:                   "it has no key",
		`{"keys":[` + strings.Replace(good, `"kid"`, `"use":"enc","kid"`, 1) + `]}`: "it has no key",
		`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`:                            "it has no key",
		`{"keys":[]}`: "it has no key",
		`{}`:          "it has no key",
		`<html>`:      "it is not a set of keys",
		``:            "it is not a set of keys",
		`{"keys":[` + strings.Repeat(good+",", 300) + good + `]}`: "it has more than 256 keys",
		strings.Repeat(" ", MaxSize+1):                            "it is larger than",
	} {
		s, err := Parse([]byte(text))
		if want == "" && (err != nil || s.Len() != 1) || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"keys":[` + good + `]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Parse([]byte(text)); err == nil && s.Len() == 0 {
			t.Fatal("a set without keys")
		}
	})
}
