package admin

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
)

//go:embed dashboard.html
var dashboardHTML string

//go:embed dashboard.css
var dashboardCSS string

//go:embed dashboard.js
var dashboardJS string

//go:embed login.html
var loginHTML string

// page is the dashboard: one document that loads nothing, with a policy that lets it run and
// show only what is in it, and speak to this server alone.
type page struct{ html, policy string }

func newPage() page {
	return page{
		html: strings.NewReplacer("/*CSS*/", dashboardCSS, "/*JS*/", dashboardJS).Replace(dashboardHTML),
		policy: "default-src 'none'; connect-src 'self'; script-src '" + digest(dashboardJS) +
			"'; style-src '" + digest(dashboardCSS) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
}

// digest names an inline element in a Content-Security-Policy (CSP level 3, section 2.3.1).
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
