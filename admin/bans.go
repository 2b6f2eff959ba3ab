package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Ban is a network whose requests are refused for some time.
type Ban struct {
	Network netip.Prefix `json:"network"`
	Until   time.Time    `json:"until"`
	Reason  string       `json:"reason,omitempty"`
}

// Bans is what the server controls of bans.
type Bans struct {
	List func() []Ban
	Set  func(Ban) error
	Lift func(netip.Prefix) bool // false: there was no such ban
}

// newBan is the body of POST /api/v1/bans.
type newBan struct {
	Network string `json:"network"`          // or a single address
	For     string `json:"for,omitempty"`    // a duration; absent: one hour
	Reason  string `json:"reason,omitempty"` // at most maxReason bytes
}

const (
	usualBan  = time.Hour
	maxReason = 200
)

func (s *Server) bans(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, s.options.Bans.List())
}

func (s *Server) ban(w http.ResponseWriter, r *http.Request) {
	var body newBan
	if err := readJSON(r.Body, &body); err != nil {
		fail(w, http.StatusBadRequest, `cannot read the body, which must be like {"network":"192.0.2.1","for":"1h"}: `+err.Error())
		return
	}
	network, err := parseNetwork(body.Network)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	lasts := usualBan
	if body.For != "" {
		if lasts, err = time.ParseDuration(body.For); err != nil {
			fail(w, http.StatusBadRequest, fmt.Sprintf(`%q is not a duration: write "30m" or "24h"`, body.For))
			return
		}
	}
	if len(body.Reason) > maxReason {
		fail(w, http.StatusBadRequest, fmt.Sprintf("the reason has more than %d bytes", maxReason))
		return
	}
	ban := Ban{Network: network, Until: time.Now().Add(lasts).Truncate(time.Millisecond), Reason: body.Reason}
	if err := s.options.Bans.Set(ban); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, ban)
}

func (s *Server) liftBan(w http.ResponseWriter, r *http.Request) {
	network, err := parseNetwork(r.PathValue("network"))
	switch {
	case err != nil:
		fail(w, http.StatusBadRequest, err.Error())
	case !s.options.Bans.Lift(network):
		fail(w, http.StatusNotFound, fmt.Sprintf("%s is not banned", network))
	default:
		reply(w, http.StatusOK, map[string]string{"status": "lifted"})
	}
}

// parseNetwork reads a network or a single address. An IPv4 address written as IPv6 is the IPv4 one.
func parseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
		}
	} else if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	return netip.Prefix{}, fmt.Errorf("%q is not a network: write 192.0.2.0/24, 2001:db8::/32 or a single address", text)
}
