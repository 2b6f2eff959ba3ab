package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"lb/internal/htpasswd"
	"lb/internal/jwks"
	"lb/internal/networks"
)

// readAmbiguousPaths rejects "allow" in a route with access control, which a path that the backend interprets differently could
// bypass.
func readAmbiguousPaths(b *block, t *Route) {
	b.text("ambiguous_paths", &t.AmbiguousPaths, oneOf("reject", "allow"))
	bypassed := ""
	switch {
	case len(t.Allow)+len(t.Deny) > 0:
		bypassed = "allow and deny"
	case t.AllowFile != "" || t.DenyFile != "":
		bypassed = "allow_file and deny_file"
	case t.BasicAuth != nil:
		bypassed = "basic_auth"
	case t.JWT != nil:
		bypassed = "jwt"
	case t.ForwardAuth != nil:
		bypassed = "forward_auth"
	}
	if t.AmbiguousPaths == "allow" && bypassed != "" {
		b.fail(b.place("ambiguous_paths"), `ambiguous_paths = "allow" lets clients bypass `+bypassed,
			"Remove one of them, or put the route into a separate site, whose paths cannot be confused with those of others.")
	}
}

func readBasicAuth(b *block) *BasicAuth {
	if b == nil {
		return nil
	}
	a := defaultBasicAuth()
	a.Pos = b.pos(b.at)
	b.file("users_file", &a.UsersFile)
	b.require("users_file", a.UsersFile, "/etc/lb/users")
	b.checkUsers(a.UsersFile)
	b.text("realm", &a.Realm, realm)
	b.end()
	return &a
}

func readForwardAuth(b *block) *ForwardAuth {
	if b == nil {
		return nil
	}
	a := defaultForwardAuth()
	a.Pos = b.pos(b.at)
	readPoolName(b, &a.Pool)
	b.require("pool", a.Pool, "auth")
	if a.Pool != "" {
		b.asked = append(b.asked, use{a.Pool, b.place("pool")})
	}
	b.text("path", &a.Path, absolutePath, validURI)
	a.CopyHeaders = b.names("copy_headers", "Remote-User", copiedHeader)
	b.end()
	return &a
}

// checkAsked reports pools of forward_auth that do not speak HTTP/1, in which they are asked.
func (r *reader) checkAsked(pools []Pool) {
	for _, u := range r.asked {
		for i := range pools {
			if p := &pools[i]; p.Name == u.name && (p.Protocol == "h2" || p.Protocol == "h2c") {
				r.fail(u.at, fmt.Sprintf("forward_auth asks in HTTP/1, but pool %q has protocol = %q", p.Name, p.Protocol),
					"Remove protocol from the pool, or write a separate pool for forward_auth.")
			}
		}
	}
}

func readJWT(b *block) *JWT {
	if b == nil {
		return nil
	}
	t := &JWT{Pos: b.pos(b.at)}
	b.text("jwks", &t.JWKS, noNUL, noContent, jwksLocation)
	b.require("jwks", t.JWKS, "https://login.example.com/.well-known/jwks.json")
	if t.JWKS != "" && !strings.Contains(t.JWKS, "://") {
		t.JWKS = under(filepath.Dir(b.at.Filename), t.JWKS)
		b.checkKeys(t.JWKS)
	}
	b.text("issuer", &t.Issuer)
	b.text("audience", &t.Audience)
	t.ClaimsToHeaders = b.headers("claims_to_headers", copiedHeader)
	b.end()
	if t.JWKS != "" && t.Issuer == "" && t.Audience == "" {
		b.warn(b.at, "jwt accepts every token of these keys", `Write issuer and audience, so that tokens for other applications are not accepted: audience = "clock"`)
	}
	return t
}

// jwksLocation requires a file name or a URL.
func jwksLocation(s string) (problem, remedy string) {
	if !strings.Contains(s, "://") {
		return "", ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return "is not a URL with https", `Write: "https://login.example.com/.well-known/jwks.json", or the path of a file`
	}
	return "", ""
}

// checkKeys requires a file of keys.
func (b *block) checkKeys(path string) {
	if !b.checkReadable("jwks", path) {
		return
	}
	text, err := readRegular(path)
	if err == nil {
		_, err = jwks.Parse(text)
	}
	if err != nil {
		b.fail(b.place("jwks"), fmt.Sprintf("cannot use jwks %q: %v", path, bare(err)), "Write the path of a JSON file with public keys (RFC 7517), or a URL.")
	}
}

func validURI(s string) (problem, remedy string) {
	if _, err := url.ParseRequestURI(s); err != nil || strings.Contains(s, "#") {
		return fmt.Sprintf("is not a path: %q", s), `Write a path, with a query or without: "/api/verify?rd=https://login.example.com"`
	}
	return "", ""
}

// copiedHeader requires the name of a field that lb does not send itself.
func copiedHeader(s string) (problem, remedy string) {
	switch strings.ToLower(s) {
	case "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "x-request-id", "client-cert", "client-cert-chain", "cdn-loop":
		return fmt.Sprintf("cannot be %q: the balancer sends that field itself", s), "Remove it."
	}
	return requestHeader(s)
}

// networksFile reads the name of a file of networks; "" is none.
func (b *block) networksFile(name string, to *string) {
	b.file(name, to)
	if b.written(name) && b.attributeIsEmptyText(name) {
		*to = ""
		return
	}
	if !b.checkReadable(name, *to) {
		return
	}
	text, err := readLarge(*to, networks.MaxSize)
	if err == nil {
		_, err = networks.Parse(text)
	}
	if err != nil {
		b.fail(b.place(name), fmt.Sprintf("cannot use %s %q: %v", name, *to, bare(err)),
			"Write a network a line, as address/bits, or a single address.")
	}
}

// realm requires text that every client can show.
func realm(s string) (problem, remedy string) {
	for _, c := range s {
		if c < ' ' || c > '~' {
			return "has characters that not every client can show", `Write letters, digits and signs of ASCII: realm = "clock"`
		}
	}
	return "", ""
}

// checkUsers requires a file of users.
func (b *block) checkUsers(path string) {
	if !b.checkReadable("users_file", path) {
		return
	}
	text, err := readRegular(path)
	if err == nil {
		_, err = htpasswd.Parse(text)
	}
	if err != nil {
		b.fail(b.place("users_file"), fmt.Sprintf("cannot use users_file %q: %v", path, bare(err)),
			"Write a user a line, each made by: htpasswd -nB NAME")
	}
}
