package admin

import (
	"net/http"
	"strings"
	"time"
)

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) {
	writeLogin(w, http.StatusOK, "")
}

// writeLogin writes the login form, with a message.
func writeLogin(w http.ResponseWriter, status int, message string) {
	style := dashboardFile("style.css")
	html := strings.NewReplacer("/*CSS*/", style, "<!--MESSAGE-->", message).Replace(dashboardFile("login.html"))
	policy := "default-src 'none'; style-src '" + digest(style) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	writeHTML(w, status, policy, html)
}

// login starts a session for a browser that sends the token.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if !s.access.isToken(r.PostFormValue("token")) {
		if wait := s.access.failures.add(r.RemoteAddr, time.Now()); wait > 0 {
			writeLogin(w, tooMany(w, wait), "This is not the token. There were too many wrong ones: wait a moment.")
			return
		}
		writeLogin(w, http.StatusUnauthorized, "This is not the token.")
		return
	}
	http.SetCookie(w, sessionOf(r, s.access.sessions.begin(time.Now()), sessionLifetime))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logout ends the session, for every copy of its cookie.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	s.access.sessions.end(r)
	http.SetCookie(w, sessionOf(r, "", -time.Second))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func sessionOf(r *http.Request, value string, lifetime time.Duration) *http.Cookie {
	return &http.Cookie{
		Name:     sessionCookie,
		Value:    value,
		Path:     "/",
		MaxAge:   int(lifetime.Seconds()),
		HttpOnly: true,
		Secure:   r.TLS != nil,
		SameSite: http.SameSiteStrictMode,
	}
}
