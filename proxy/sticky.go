package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"

	"lb/message"
	"lb/pool"
)

// Sticky sends a client back to the backend that served it first, by a cookie. The cookie contains a keyed hash (HMAC) of the pool's
// name and the backend's address: it reveals neither, cannot be forged, and is valid in every balancer with the same secret.
type Sticky struct {
	Cookie string
	Secret []byte
	MaxAge time.Duration // 0: until the browser is closed
}

// Value returns the value of the cookie for a backend.
func (s *Sticky) Value(poolName, address string) string {
	mac := hmac.New(sha256.New, s.Secret)
	mac.Write([]byte(poolName))
	mac.Write([]byte{0})
	mac.Write([]byte(address))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// of returns the value of the cookie in the request; nil if there is none.
func (s *Sticky) of(x *Exchange) []byte {
	if s == nil {
		return nil
	}
	return message.Cookie(x.Request.Fields, s.Cookie)
}

// setCookie adds a Set-Cookie field for b, unless the client already has b's cookie or should return to its own backend.
func (s *Sticky) setCookie(x *Exchange, b *pool.Backend) {
	if s == nil {
		return
	}
	if own := s.of(x); len(own) > 0 && !b.Pool().Moves(own, b) {
		return
	}
	value := s.Cookie + "=" + s.Value(b.Pool().Name(), b.Address()) + "; Path=/; HttpOnly; SameSite=Lax"
	if x.in.Secure {
		value += "; Secure"
	}
	if s.MaxAge > 0 {
		value += "; Max-Age=" + strconv.FormatInt(int64(s.MaxAge/time.Second), 10)
	}
	x.Extra = append(x.Extra, message.NewField("Set-Cookie", value))
}
