package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"lb/pool"
)

// routes maps paths to handlers.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, handle http.HandlerFunc) { mux.Handle(path, methods{http.MethodGet: handle}) }
	get("/{$}", s.dashboard)
	get("/metrics", s.metrics)
	get("/healthz", s.healthz)
	get("/readyz", s.readyz)
	get("/api/v1/pools", s.pools)
	get("/api/v1/pools/{pool}", s.pool)
	// The address may contain slashes, escaped or not, so it is the rest of the path.
	mux.Handle("/api/v1/pools/{pool}/backends/{backend...}", methods{
		http.MethodGet: s.backend,
		http.MethodPut: s.setBackend,
	})
	if s.options.Status != nil {
		get("/api/v1/status", func(w http.ResponseWriter, r *http.Request) { reply(w, http.StatusOK, s.options.Status()) })
	}
	if s.options.Config != nil {
		get("/api/v1/config", func(w http.ResponseWriter, r *http.Request) { reply(w, http.StatusOK, s.options.Config()) })
	}
	if s.options.Explain != nil {
		get("/api/v1/explain", s.explain)
	}
	if s.options.Events != nil {
		get("/api/v1/events", s.options.Events.serve)
	}
	if s.options.Bans != nil {
		mux.Handle("/api/v1/bans", methods{http.MethodGet: s.bans, http.MethodPost: s.ban})
		mux.Handle("/api/v1/bans/{network...}", methods{http.MethodDelete: s.liftBan})
	}
	if s.options.Reload != nil {
		mux.Handle("/api/v1/reload", methods{http.MethodPost: s.reload})
	}
	if s.options.Purge != nil {
		mux.Handle("/api/v1/purge", methods{http.MethodPost: s.purge})
	}
	if s.options.Token != "" {
		mux.Handle("/login", methods{http.MethodGet: s.showLogin, http.MethodPost: s.login})
		mux.Handle("/logout", methods{http.MethodPost: s.logout})
	}
	get("/debug/pprof/", pprof.Index)
	get("/debug/pprof/cmdline", pprof.Cmdline)
	get("/debug/pprof/profile", lasting(pprof.Profile))
	get("/debug/pprof/trace", lasting(pprof.Trace))
	mux.Handle("/debug/pprof/symbol", methods{http.MethodGet: pprof.Symbol, http.MethodPost: pprof.Symbol})
	mux.HandleFunc("/", noSuchPath)
	mux.HandleFunc("/api/v1/pools/{pool}/backends", noSuchPath) // otherwise the mux redirects to the path with a slash
	return withDeadlines(mux)
}

func noSuchPath(w http.ResponseWriter, r *http.Request) {
	fail(w, http.StatusNotFound, "no such path: "+r.URL.Path)
}

// withDeadlines bounds each request; handlers of long requests set their own deadline.
func withDeadlines(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.SetWriteDeadline(time.Now().Add(writeTimeout))
		if r.ContentLength != 0 {
			control.SetReadDeadline(time.Now().Add(bodyTimeout))
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		next.ServeHTTP(w, r)
	})
}

// lasting extends the write deadline by the requested time of a profile, up to ten minutes.
func lasting(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		const longest = 600
		seconds, err := strconv.ParseFloat(r.FormValue("seconds"), 64)
		if err != nil {
			seconds = 30 // the profiler's default
		}
		if !(seconds <= longest) {
			fail(w, http.StatusBadRequest, fmt.Sprintf("a profile lasts at most %d seconds", longest))
			return
		}
		lasts := time.Duration(seconds * float64(time.Second))
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(lasts + writeTimeout))
		next(w, r)
	}
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.options.Registry.WritePrometheus(w) // the only error is that the client disconnected
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.options.Ready != nil && !s.options.Ready() {
		fail(w, http.StatusServiceUnavailable, "starting or draining")
		return
	}
	reply(w, http.StatusOK, map[string]string{"status": "ready"})
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	q := Question{Method: query.Get("method"), URL: query.Get("url"), Header: query["header"], Client: query.Get("client")}
	if q.URL == "" {
		fail(w, http.StatusBadRequest, "the URL is missing: /api/v1/explain?url=…")
		return
	}
	explanation, err := s.options.Explain(q)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, explanation)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(ReloadTimeout))
	diagnostics, err := s.options.Reload(r.Context())
	if err != nil {
		reply(w, http.StatusUnprocessableEntity, Failure{Error: err.Error(), Diagnostics: diagnostics})
		return
	}
	reply(w, http.StatusOK, Reloaded{Status: "reloaded", Diagnostics: diagnostics})
}

// Purge is the body of POST /api/v1/purge. Exactly one of its members is given.
type Purge struct {
	URL    string `json:"url,omitempty"`
	Prefix string `json:"prefix,omitempty"` // of URLs
	Tag    string `json:"tag,omitempty"`
}

// Purged is the response to it.
type Purged struct {
	Removed int `json:"removed"` // stored responses
}

func (s *Server) purge(w http.ResponseWriter, r *http.Request) {
	var p Purge
	if err := readJSON(r.Body, &p); err != nil {
		fail(w, http.StatusBadRequest, `cannot read the body, which must be like {"url":"https://example.com/page"}: `+err.Error())
		return
	}
	removed, err := s.options.Purge(p)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, Purged{removed})
}

func (s *Server) pools(w http.ResponseWriter, r *http.Request) {
	all := []pool.PoolStatus{}
	for _, p := range s.options.Pools() {
		all = append(all, p.Status())
	}
	reply(w, http.StatusOK, all)
}

// named finds the pool of the path. If there is none, it responds and returns nil.
func (s *Server) named(w http.ResponseWriter, r *http.Request) *pool.Pool {
	name := r.PathValue("pool")
	for _, p := range s.options.Pools() {
		if p.Name() == name {
			return p
		}
	}
	var names []string
	for _, p := range s.options.Pools() {
		names = append(names, p.Name())
	}
	fail(w, http.StatusNotFound, fmt.Sprintf("no pool %q%s", name, instead(name, names)))
	return nil
}

func (s *Server) pool(w http.ResponseWriter, r *http.Request) {
	if p := s.named(w, r); p != nil {
		reply(w, http.StatusOK, p.Status())
	}
}

func (s *Server) member(w http.ResponseWriter, r *http.Request) (*pool.Pool, *pool.Backend) {
	p := s.named(w, r)
	if p == nil {
		return nil, nil
	}
	name := r.PathValue("backend")
	b := p.Backend(name)
	if b == nil {
		var addresses []string
		for _, member := range p.Backends() {
			addresses = append(addresses, member.Address())
		}
		fail(w, http.StatusNotFound, fmt.Sprintf("no backend %q in pool %q%s", name, p.Name(), instead(name, addresses)))
	}
	return p, b
}

func (s *Server) backend(w http.ResponseWriter, r *http.Request) {
	if _, b := s.member(w, r); b != nil {
		reply(w, http.StatusOK, b.Status())
	}
}

// BackendChange is the body of PUT /api/v1/pools/{pool}/backends/{backend}. Absent members are not changed.
type BackendChange struct {
	Admin  *string `json:"admin,omitempty"`  // ready, drain or maint
	Weight *int    `json:"weight,omitempty"` // 0: the configured one
}

func (s *Server) setBackend(w http.ResponseWriter, r *http.Request) {
	p, b := s.member(w, r)
	if b == nil {
		return
	}
	var change BackendChange
	if err := readJSON(r.Body, &change); err != nil {
		fail(w, http.StatusBadRequest, `cannot read the body, which must be like {"admin":"drain","weight":2}: `+err.Error())
		return
	}
	if change.Admin == nil && change.Weight == nil {
		fail(w, http.StatusBadRequest, `nothing to change: give "admin", "weight" or both`)
		return
	}
	var state pool.Admin
	if change.Admin != nil {
		var known bool
		if state, known = pool.ParseAdmin(*change.Admin); !known {
			fail(w, http.StatusBadRequest, fmt.Sprintf(`unknown admin state %q: it must be "ready", "drain" or "maint"`, *change.Admin))
			return
		}
	}
	var wrong error
	err := s.options.Change(func() {
		const reason = "admin API"
		if change.Weight != nil {
			wrong = p.SetWeight(b, *change.Weight, reason)
		}
		if change.Admin != nil && wrong == nil {
			p.SetAdmin(b, state, reason)
		}
	})
	switch {
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err.Error())
	case wrong != nil:
		fail(w, http.StatusBadRequest, wrong.Error())
	default:
		reply(w, http.StatusOK, b.Status())
	}
}

// readJSON reads one value and nothing after it. An unknown field is an error, since it may be misspelt.
func readJSON(body io.Reader, into any) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("something follows the value")
	}
	return nil
}
