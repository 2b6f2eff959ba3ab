package filter

import "lb/message"

// SecureHeaders adds the fields by which browsers protect the pages of a site, where the response does not have its own, and removes
// what only helps attackers.
type SecureHeaders struct{}

// secured are the fields, by their names in lower case. The first is only for HTTPS (RFC 6797 section 7.2).
var secured = [...]struct {
	lower string
	name  message.Name
	value []byte
}{
	{"strict-transport-security", message.NewName("Strict-Transport-Security"), []byte("max-age=31536000")},
	{"x-content-type-options", message.NewName("X-Content-Type-Options"), []byte("nosniff")},
	{"x-frame-options", message.NewName("X-Frame-Options"), []byte("SAMEORIGIN")},
	{"referrer-policy", message.NewName("Referrer-Policy"), []byte("strict-origin-when-cross-origin")},
}

// Response implements filter.Response.
func (SecureHeaders) Response(x Exchange, r *message.Response, kind Kind) {
	kept := r.Fields[:0]
	for i := range r.Fields {
		if f := &r.Fields[i]; !message.EqualFold(f.Name, "x-powered-by") {
			kept = append(kept, *f)
		}
	}
	r.Fields = kept
	if kind == Interim {
		return
	}
	for i := range secured {
		f := &secured[i]
		if i == 0 {
			if secure, ok := x.(interface{ Secure() bool }); !ok || !secure.Secure() {
				continue
			}
		}
		if message.Named(r.Fields, f.lower) == nil {
			r.AddBytes(f.name, f.value)
		}
	}
}
