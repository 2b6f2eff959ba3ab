package config

import (
	"fmt"
	"strings"
)

// redirectTarget rejects a placeholder that is in, or could extend, the scheme or the host: with
// "https://example.com{rest}" a client that requests "/old/.evil.example" is sent to another host. {path} begins with
// a slash, so it may follow a host directly.
func redirectTarget(to string) (problem, remedy string) {
	at := strings.IndexByte(to, '{')
	if at < 0 {
		return "", ""
	}
	before, placeholder := to[:at], to[at:]
	isPath := strings.HasPrefix(placeholder, "{path}")
	lead := strings.ReplaceAll(before, `\`, "/") // as browsers do
	scheme, host, absolute := strings.Cut(lead, "//")
	host = strings.TrimLeft(host, "/") // as browsers do, too
	switch {
	case lead == "" && isPath:
		return "", ""
	case absolute && (scheme == "" || strings.HasSuffix(scheme, ":") && !strings.ContainsAny(scheme, "/?#")):
		if strings.ContainsAny(host, "/?#") || isPath && host != "" && !strings.HasSuffix(host, "@") {
			return "", ""
		}
	case strings.HasPrefix(lead, "/"), strings.ContainsAny(lead, "/?#") && !strings.Contains(lead, ":"):
		return "", ""
	}
	if host == "" {
		return fmt.Sprintf("lets the client choose the host: %q", to), `Write the host, "https://new.example.com/{rest}", or begin with a slash, "/new/{rest}".`
	}
	return fmt.Sprintf("lets the client extend the host name: %q", to), fmt.Sprintf("Write a slash after the host: %q", strings.TrimSuffix(before, "@")+"/"+placeholder)
}
