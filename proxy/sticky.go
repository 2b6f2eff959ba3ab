package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"

	"lb/pool"
)

// Sticky sends a client back to the backend that served it first, by a cookie. The cookie holds a keyed hash (HMAC) of
// the pool's name and the backend's address: it tells a client neither, nobody can make one up, and it
// means the same in every balancer with the secret.
type Sticky struct {
	Cookie string
	Secret []byte
	MaxAge time.Duration // 0: until the browser is closed
}

// Value is what the cookie holds for a backend.
func (s *Sticky) Value(poolName, address string) string {
	mac := hmac.New(sha256.New, s.Secret)
	mac.Write([]byte(poolName))
	mac.Write([]byte{0})
	mac.Write([]byte(address))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// of returns what the request brings; nil if nothing.
func (s *Sticky) of(x *Exchange) []byte {
	if s == nil {
		return nil
	}
	return cookieNamed(x.Fields, s.Cookie)
}

// appendCookie appends the line that makes the client return to b, unless it does anyway or is to go back to its own.
func (s *Sticky) appendCookie(dst []byte, x *Exchange, b *pool.Backend) []byte {
	if s == nil {
		return dst
	}
	if own := s.of(x); len(own) > 0 && !b.Pool().Moves(own, b) {
		return dst
	}
	dst = append(dst, "Set-Cookie: "...)
	dst = append(append(append(dst, s.Cookie...), '='), s.Value(b.Pool().Name(), b.Address())...)
	dst = append(dst, "; Path=/; HttpOnly; SameSite=Lax"...)
	if x.in.Secure {
		dst = append(dst, "; Secure"...)
	}
	if s.MaxAge > 0 {
		dst = strconv.AppendInt(append(dst, "; Max-Age="...), int64(s.MaxAge/time.Second), 10)
	}
	return append(dst, '\r', '\n')
}
