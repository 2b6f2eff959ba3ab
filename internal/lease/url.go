package lease

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"lb/internal/ciphers"
)

// Address is where a Redis is, and how to log in there.
type Address struct {
	host     string // with port
	user     string
	password string
	database int
	tls      bool
}

// maxDatabase is the highest number of a database.
const maxDatabase = 1 << 20

// ParseURL reads redis://USER:PASSWORD@HOST:PORT/DATABASE, of which only the host is needed, or rediss:// for TLS. The errors contain
// nothing of the text, which may have a password in it.
func ParseURL(text string) (Address, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Address{}, errors.New("it is not a URL; percent-encode special characters of the password")
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return Address{}, errors.New("it does not begin with redis:// or rediss://")
	case u.Hostname() == "":
		return Address{}, errors.New("it names no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return Address{}, errors.New("it has parameters, and there are none")
	}
	a := Address{host: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "6379")), user: u.User.Username(), tls: u.Scheme == "rediss"}
	a.password, _ = u.User.Password()
	if port, err := strconv.Atoi(cmp.Or(u.Port(), "6379")); err != nil || port < 1 || port > 65535 {
		return Address{}, errors.New("its port is not a number from 1 to 65535")
	}
	if a.user != "" && a.password == "" {
		return Address{}, errors.New("it has a user without a password; a password alone follows a colon, as in redis://:PASSWORD@HOST")
	}
	if database := strings.TrimPrefix(u.Path, "/"); database != "" {
		if a.database, err = strconv.Atoi(database); err != nil || a.database < 0 || a.database > maxDatabase {
			return Address{}, errors.New("what follows the host is not the number of a database")
		}
	}
	return a, nil
}

// String returns the address without the user and the password.
func (a Address) String() string { return fmt.Sprintf("%s/%d", a.host, a.database) }

// tlsConfig returns how connections are encrypted, nil: not at all.
func (a Address) tlsConfig() *tls.Config {
	if !a.tls {
		return nil
	}
	host, _, _ := net.SplitHostPort(a.host) // ParseURL has joined it
	return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, CipherSuites: ciphers.Suites()}
}
