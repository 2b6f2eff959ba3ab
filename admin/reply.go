package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// reply sends a value as JSON.
func reply(w http.ResponseWriter, status int, value any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // for people who read it in a terminal; nosniff keeps browsers from interpreting it
	if err := encoder.Encode(value); err != nil {
		status = http.StatusInternalServerError
		body.Reset()
		json.NewEncoder(&body).Encode(Failure{Error: "cannot encode the response: " + err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body.Bytes())
}

// Failure is the body of every response that is no success.
type Failure struct {
	Error       string `json:"error"`
	Diagnostics string `json:"diagnostics,omitempty"` // of a reload
}

func fail(w http.ResponseWriter, status int, message string) {
	reply(w, status, Failure{Error: message})
}

// methods are the handlers of one path; GET's serves HEAD, too.
type methods map[string]http.HandlerFunc

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if handle := m[method]; handle != nil {
		handle(w, r)
		return
	}
	var allowed []string
	for name := range m {
		if allowed = append(allowed, name); name == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	fail(w, http.StatusMethodNotAllowed, r.URL.Path+" takes "+strings.Join(allowed, ", ")+" only")
}
