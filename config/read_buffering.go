package config

import (
	"errors"
	"fmt"
	"os"
)

// The bounds of a buffer. A smaller one would be of no use.
const (
	leastBuffer = 4 << 10
	mostBuffer  = 1 << 30
)

// readBuffering reads how much of bodies is buffered.
func readBuffering(b *block, p *Proxy) {
	b.buffer("buffer_request", &p.BufferRequest)
	b.buffer("buffer_response", &p.BufferResponse)
	b.file("buffer_dir", &p.BufferDir)
	b.checkWritable("buffer_dir", p.BufferDir)
	if b.written("buffer_request") || b.written("buffer_response") {
		return
	}
	if p.BufferDir != "" {
		b.warn(b.place("buffer_dir"), "buffer_dir has no effect because nothing is buffered", `Write: buffer_request = "1MiB"`)
	}
	if p.Pool != "" {
		b.streams = append(b.streams, use{p.Pool, b.at})
	}
	for _, share := range p.Split {
		b.streams = append(b.streams, use{share.Pool, b.at})
	}
}

// buffer reads a size that is 0 or within the bounds.
func (b *block) buffer(name string, to *int64) {
	b.size(name, to, 0, mostBuffer)
	if n := *to; n > 0 && n < leastBuffer {
		b.fail(b.place(name), fmt.Sprintf("%s = %q is too small", name, formatSize(n)),
			fmt.Sprintf("Write 0 to buffer nothing, or a size from %s to %s.", formatSize(leastBuffer), formatSize(mostBuffer)))
	}
}

// readRouteTimeouts reads timeouts that override the pool's. An empty string keeps the pool's.
func readRouteTimeouts(b *block) *RouteTimeouts {
	if b == nil {
		return nil
	}
	t := &RouteTimeouts{Pos: b.pos(b.at)}
	if !b.written("response") || !b.attributeIsEmptyText("response") {
		b.duration("response", &t.Response, leastTimeout)
	}
	if !b.written("idle") || !b.attributeIsEmptyText("idle") {
		b.duration("idle", &t.Idle, leastTimeout)
	}
	b.knownAttributes = append(b.knownAttributes, "response", "idle")
	b.end()
	return t
}

// checkWritable requires a directory in which files can be made.
func (b *block) checkWritable(name, path string) {
	if b.withoutFiles || path == "" || !b.written(name) {
		return
	}
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(path, ".lb-check-*"); err == nil {
			f.Close()
			err = os.Remove(f.Name())
		}
	}
	if err != nil {
		b.fail(b.place(name), fmt.Sprintf("cannot write to %s %q: %v", name, path, bare(err)),
			"Create the directory and allow the user that lb runs as to write to it; a relative path starts at the configuration's directory.")
	}
}

// fewConns is the max_conns up to which a few slow clients can hold a whole backend.
const fewConns = 16

// checkStreaming warns about routes that stream to backends with few connections, unless the route says what it
// buffers.
func (r *reader) checkStreaming(pools []Pool) {
	for _, u := range r.streams {
		for i := range pools {
			if p := &pools[i]; p.Name == u.name {
				r.warnOfStreaming(u, p)
			}
		}
	}
}

func (r *reader) warnOfStreaming(u use, p *Pool) {
	for i := range p.Backends {
		if b := &p.Backends[i]; b.MaxConns > 0 && b.MaxConns <= fewConns {
			r.warn(u.at, fmt.Sprintf("slow clients can occupy backend %q of pool %q: it accepts %d requests at a time, and bodies are streamed", b.Address, p.Name, b.MaxConns),
				`Write in the proxy block: buffer_request = "1MiB" and buffer_response = "1MiB"; or buffer_request = 0 if its clients are fast.`)
			return
		}
	}
}
