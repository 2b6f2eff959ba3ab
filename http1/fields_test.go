package http1

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"lb/message"
)

func TestParseFields(t *testing.T) {
	fields, err := ParseFields([]byte("A: 1\r\nb:\r\nA: \t2 3 \r\n"), make([]message.Field, 1))
	if err != nil || len(fields) != 4 || string(fields[1].Name) != "A" || len(fields[2].Value) != 0 ||
		string(fields[3].Value) != "2 3" || string(fields[3].Line) != "A: \t2 3 \r\n" {
		t.Errorf("%+v, %v", fields, err)
	}
	for block, want := range map[string]error{
		"A: b": ErrLineEnd, "A: b\n": ErrLineEnd, "\n": ErrLineEnd, "A: b\r": ErrLineEnd, "\r\n": ErrFieldName, "A: b\r\n\r\n": ErrFieldName,
		" A: b\r\n": ErrFold, "A: b\r\n\tc\r\n": ErrFold, "A b: c\r\n": ErrFieldName, ":\r\n": ErrFieldName, "A\r\n": ErrFieldName,
		"A\t: b\r\n": ErrFieldName, "A: \x7f\r\n": ErrFieldValue, "A: b\r\r\n": ErrFieldValue, "\r\r\n": ErrFieldName,
	} {
		if _, err := ParseFields([]byte(block), nil); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", block, err, want)
		}
	}
}

func TestContentLength(t *testing.T) {
	for value, want := range map[string]int64{"0": 0, "00": 0, "12": 12, "999999999999999999": 999999999999999999,
		"": -1, "+1": -1, "-1": -1, " 1": -1, "1 ": -1, "1,1": -1, "0x1": -1, "1e3": -1, "1000000000000000000": -1} {
		n, ok := message.ContentLength([]byte(value))
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("%q: %d %v, want %d", value, n, ok, want)
		}
	}
}

// Accepted fields consist of exactly their lines.
func FuzzParseFields(f *testing.F) {
	for _, s := range []string{"", "A: b\r\n", "A: b\r\n c\r\n", "A:\r\nB: \xff\t\r\n", "A : b\r\n", "A: b\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		fields, err := ParseFields(block, nil)
		if err != nil {
			return
		}
		var whole []byte
		for i := range fields {
			field := &fields[i]
			whole = append(whole, field.Line...)
			name, value, _ := strings.Cut(strings.TrimSuffix(string(field.Line), "\r\n"), ":")
			if name != string(field.Name) || strings.Trim(value, " \t") != string(field.Value) || name == "" ||
				strings.ContainsAny(name, " \t\r\n\x00:") || strings.ContainsAny(value, "\r\n\x00") {
				t.Fatalf("%q was read as %q: %q", field.Line, field.Name, field.Value)
			}
			if field.Kind != message.KindOf([]byte(strings.ToUpper(name))) {
				t.Fatalf("the kind of %q depends on its case", name)
			}
		}
		if !bytes.Equal(whole, block) {
			t.Fatalf("%q was read as %q", block, whole)
		}
	})
}
