// Package clock is the application that the examples, the demo and the
// end-to-end tests put behind the balancer: it shows the time and which of its
// replicas has responded. It keeps no state, so any number of replicas may serve
// the same visitor.
//
//	http.ListenAndServe(":5000", clock.Handler("clock-1"))
package clock

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"time"
)

// Images holds images/clock.svg, the one static file of the page. The clock
// serves it itself, so that it works alone; behind the balancer the same file
// is better served from the balancer's static cache.
//
//go:embed images/clock.svg
var Images embed.FS

//go:embed page.html
var page string

// Reading is the response of /api/time.
type Reading struct {
	Time    time.Time `json:"time"`    // RFC 3339, with the replica's own offset
	Unix    int64     `json:"unix"`    // the same in seconds since 1970
	Replica string    `json:"replica"` // the replica that responded
}

// Handler returns the clock application; name is what the replica calls itself,
// in the page, in the JSON and in the X-Replica header of every response. It is
// safe for concurrent use and starts nothing.
//
//	GET /                   a web page with the time, the name and the picture
//	GET /api/time           a Reading as JSON
//	GET /healthz            200 "ok"
//	GET /images/clock.svg   the picture
func Handler(name string) http.Handler {
	home := template.Must(template.New("page").Parse(page))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		var body bytes.Buffer
		if err := home.Execute(&body, read(name)); err != nil {
			http.Error(w, "cannot render the page", http.StatusInternalServerError)
			return
		}
		respond(w, "text/html; charset=utf-8", body.Bytes())
	})
	mux.HandleFunc("GET /api/time", func(w http.ResponseWriter, _ *http.Request) {
		body, err := json.Marshal(read(name))
		if err != nil {
			http.Error(w, "cannot encode the time", http.StatusInternalServerError)
			return
		}
		respond(w, "application/json", append(body, '\n'))
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		respond(w, "text/plain; charset=utf-8", []byte("ok"))
	})
	mux.Handle("GET /images/", http.FileServerFS(Images))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Replica", name)
		mux.ServeHTTP(w, r)
	})
}

func read(name string) Reading {
	now := time.Now()
	return Reading{Time: now, Unix: now.Unix(), Replica: name}
}

// respond writes a body that is valid only now and for this replica.
func respond(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // an error means that the client has disconnected
}
