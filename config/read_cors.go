package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

func readCORS(b *block) *CORS {
	if b == nil {
		return nil
	}
	c := &CORS{Pos: b.pos(b.at)}
	b.texts("origins", "https://app.example.com", &c.Origins, origin)
	c.Methods, c.Headers = b.names("methods", "GET", method), b.names("headers", "X-Api-Key", matchedHeader)
	b.flag("credentials", &c.Credentials)
	b.duration("max_age", &c.MaxAge, 0)
	b.end()
	all := slices.Contains(c.Origins, "*")
	switch {
	case !b.written("origins") || b.emptyList("origins"):
		b.fail(b.place("origins"), "cors needs origins", `Write: origins = ["https://app.example.com"], or ["*"] for all`)
	case all && len(c.Origins) > 1:
		b.fail(b.place("origins"), `origins has "*" and others`, "Keep the star, which means all origins, or the others.")
	case all && c.Credentials:
		b.fail(b.place("credentials"), `credentials = true with origins = ["*"] would let every web page act in the name of its visitors`, "List the origins, or remove credentials.")
	}
	return c
}

// names reads a list of texts, which is nil if it is empty.
func (b *block) names(attribute, example string, check textCheck) (list []string) {
	b.texts(attribute, example, &list, check)
	if len(list) == 0 {
		return nil
	}
	return list
}

// emptyList reports whether an attribute is a list without entries.
func (b *block) emptyList(name string) bool {
	v, diags := b.attributes[name].Expr.Value(b.contexts[b.at.Filename])
	return !diags.HasErrors() && v.IsKnown() && !v.IsNull() && v.CanIterateElements() && v.LengthInt() == 0
}

// origin requires a scheme and a host, as browsers write them.
func origin(s string) (problem, remedy string) {
	if s == "*" {
		return "", ""
	}
	problem, remedy = fmt.Sprintf("is not an origin: %q", s), `Write a scheme and a host, and a port if it is unusual: "https://app.example.com", "https://*.example.com"`
	u, err := url.Parse(strings.Replace(s, "://*.", "://", 1))
	if err != nil || u.Scheme == "" || u.Host == "" || strings.Contains(u.Host, "*") {
		return problem, remedy
	}
	if short := strings.ToLower(u.Scheme + "://" + u.Host); short != strings.Replace(s, "://*.", "://", 1) {
		return problem, fmt.Sprintf("Write only: %q", short)
	}
	return "", ""
}
