package admin

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"strings"
)

//go:embed dashboard
var dashboardFiles embed.FS

// scripts are the parts of the page's script, in this order.
var scripts = []string{"update.js", "pools.js", "changes.js", "configuration.js", "certificates.js", "events.js", "main.js"}

// logoutForm is left out where there is no login.
const logoutForm = `<form method="post" action="/logout"><button>Log out</button></form>`

// page is the dashboard: one document that loads nothing, with a policy that allows only its own scripts and styles,
// and connections to this server.
type page struct{ html, policy string }

func newPage(withLogout bool) page {
	var script strings.Builder
	for _, name := range scripts {
		script.WriteString(dashboardFile(name))
	}
	style, logout := dashboardFile("style.css"), ""
	if withLogout {
		logout = logoutForm
	}
	return page{
		html: strings.NewReplacer("/*CSS*/", style, "/*JS*/", script.String(), "<!--LOGOUT-->", logout).Replace(dashboardFile("page.html")),
		policy: "default-src 'none'; connect-src 'self'; script-src '" + digest(script.String()) +
			"'; style-src '" + digest(style) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
}

// dashboardFile returns an embedded file.
func dashboardFile(name string) string {
	text, err := dashboardFiles.ReadFile("dashboard/" + name)
	if err != nil {
		panic(err) // the name is wrong
	}
	return string(text)
}

// digest identifies an inline element in a Content-Security-Policy (CSP level 3, section 2.3.1).
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func writeHTML(w http.ResponseWriter, status int, policy, html string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	w.Write([]byte(html))
}

func (s *Server) dashboard(w http.ResponseWriter, r *http.Request) {
	writeHTML(w, http.StatusOK, s.page.policy, s.page.html)
}
