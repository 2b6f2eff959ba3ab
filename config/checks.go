package config

import (
	"fmt"
	"slices"
	"strings"
)

// Checks of single texts; see textCheck.

// oneOf requires one of the given values.
func oneOf(words ...string) textCheck {
	return func(s string) (string, string) {
		if slices.Contains(words, s) {
			return "", ""
		}
		return fmt.Sprintf("cannot be %q", s), oneOfRemedy(s, words)
	}
}

func oneOfRemedy(s string, words []string) string {
	if near := nearest(s, words); near != "" {
		return fmt.Sprintf("Did you mean %q?", near)
	}
	return "Write one of: " + strings.Join(words, ", ")
}

// clientKey requires a key of a client: header:NAME, cookie:NAME, or one of the given forms, which may be jwt:CLAIM.
func clientKey(forms ...string) textCheck {
	forms = append(forms, "header:NAME", "cookie:NAME")
	return func(s string) (string, string) {
		kind, name, named := strings.Cut(s, ":")
		for _, form := range forms {
			of, what, _ := strings.Cut(form, ":")
			if of == kind && (what == "" && !named || what == "NAME" && isToken(name) || what == "CLAIM" && isClaim(name)) {
				return "", ""
			}
		}
		return fmt.Sprintf("cannot be %q", s), oneOfRemedy(s, forms)
	}
}

// isClaim reports whether s can be the name of a claim (RFC 7519, section 4), which may be a URI.
func isClaim(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f })
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2: what methods,
// field names and cookie names consist of.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

func method(s string) (problem, remedy string) {
	if !isToken(s) {
		return fmt.Sprintf("is not a method: %q", s), `Write a method: "GET"`
	}
	if upper := strings.ToUpper(s); upper != s {
		return fmt.Sprintf("is in lower case: %q", s), fmt.Sprintf("Methods are case-sensitive. Write: %q", upper)
	}
	return "", ""
}

// ownHeader requires the name of a header field that a configuration may change.
func ownHeader(s string) (problem, remedy string) {
	if !isToken(s) {
		return fmt.Sprintf("is not a header name: %q", s), `Write letters, digits and hyphens: "X-Frame-Options"`
	}
	switch strings.ToLower(s) {
	case "connection", "content-length", "transfer-encoding", "keep-alive", "te", "trailer", "upgrade", "proxy-connection":
		return fmt.Sprintf("cannot be %q: the balancer frames its messages itself", s), "Remove it."
	}
	return "", ""
}

// headerValue requires a field value of RFC 9110, section 5.5.
func headerValue(s string) (problem, remedy string) {
	if i := strings.IndexFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }); i >= 0 {
		return "contains a line break or another control character", "Write it on one line."
	}
	return "", ""
}

func absolutePath(s string) (problem, remedy string) {
	if !strings.HasPrefix(s, "/") {
		return fmt.Sprintf("%q does not begin with a slash", s), fmt.Sprintf("Write: %q", "/"+s)
	}
	return targetCharacters(s)
}

// targetCharacters rejects characters that a request target cannot have.
func targetCharacters(s string) (problem, remedy string) {
	if strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return fmt.Sprintf("%q contains a space or a control character", s), "Remove it, or write it percent-encoded: %20"
	}
	return "", ""
}

// placeholders requires a template with only these names in braces.
func placeholders(names ...string) textCheck {
	return func(s string) (string, string) {
		for rest := s; ; {
			_, after, ok := strings.Cut(rest, "{")
			if !ok {
				return "", ""
			}
			name, next, closed := strings.Cut(after, "}")
			if !closed {
				return fmt.Sprintf("has an open brace: %q", s), fmt.Sprintf("Close it: {%s}", names[0])
			}
			if !slices.Contains(names, name) {
				return fmt.Sprintf("has an unknown placeholder {%s}", name), fmt.Sprintf("Known here: {%s}", strings.Join(names, "}, {"))
			}
			rest = next
		}
	}
}

func emailAddress(s string) (problem, remedy string) {
	user, host, ok := strings.Cut(s, "@")
	if s != "" && (!ok || user == "" || !validName(host)) {
		return fmt.Sprintf("%q is not a mail address", s), `Write: "ops@example.com"`
	}
	return "", ""
}

// optional accepts the empty text and leaves everything else to the check.
func optional(check textCheck) textCheck {
	return func(s string) (string, string) {
		if s == "" {
			return "", ""
		}
		return check(s)
	}
}
