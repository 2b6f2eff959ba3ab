package exchange

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"

	"lb/message"
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
	return cookieNamed(x.Request.Fields, s.Cookie)
}

// setCookie adds the field that makes the client return to b, unless it does anyway or is to go back to its own.
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
