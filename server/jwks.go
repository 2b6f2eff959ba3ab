package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/internal/jwks"
)

const (
	keysRefresh  = 5 * time.Minute  // between two fetches that succeed
	keysRetry    = 10 * time.Second // after one that failed, and the least between fetches because of unknown keys
	keysPatience = 5 * time.Second  // of a request that waits for a fetch
	keysTimeout  = 10 * time.Second // of a fetch
)

// keySource is where the keys of tokens come from: a file, or a URL that is fetched from time to time. The last good set stays in use
// when it vanishes.
type keySource struct {
	set  atomic.Pointer[jwks.Set]
	file watchedFile // without a path: of a URL
	url  string

	cancel context.CancelFunc // nil: not started
	wanted chan struct{}      // a request needs newer keys

	mu   sync.Mutex
	last time.Time     // of the latest fetch, whether it succeeded or not
	next chan struct{} // closed at the end of the next fetch
}

func newKeySource(location string) *keySource {
	k := &keySource{wanted: make(chan struct{}, 1), next: make(chan struct{})}
	if strings.Contains(location, "://") {
		k.url = location
		return k
	}
	k.file = watchedFile{path: location, attribute: "jwks", use: k.use}
	return k
}

func (k *keySource) use(text []byte) error {
	set, err := jwks.Parse(text)
	if err == nil {
		k.set.Store(set)
	}
	return err
}

// Current implements auth.Keys.
func (k *keySource) Current() *jwks.Set { return k.set.Load() }

// Newer implements auth.Keys.
func (k *keySource) Newer(ctx context.Context, old *jwks.Set) *jwks.Set {
	k.mu.Lock()
	next, recent := k.next, time.Since(k.last) < keysRetry
	k.mu.Unlock()
	if set := k.set.Load(); set != old || k.url == "" || recent {
		return set
	}
	select {
	case k.wanted <- struct{}{}:
	default: // another request has asked
	}
	patience := time.NewTimer(keysPatience)
	defer patience.Stop()
	select {
	case <-next:
	case <-patience.C:
	case <-ctx.Done():
	}
	return k.set.Load()
}

// run fetches the keys until ctx ends.
func (k *keySource) run(ctx context.Context, log hclog.Logger) {
	log = log.With("jwks", k.url)
	failed := false
	for {
		err := k.fetch(ctx)
		pause := keysRefresh
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = keysRetry
			if !failed {
				log.Error("cannot fetch the keys of tokens; those before stay in use", "error", err)
			}
		case failed:
			log.Info("the keys of tokens can be fetched again")
		}
		failed = err != nil
		k.mu.Lock()
		k.last = time.Now()
		close(k.next)
		k.next = make(chan struct{})
		k.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.wanted:
		}
		timer.Stop()
	}
}

func (k *keySource) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	client := &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(to *http.Request, via []*http.Request) error {
			if len(via) > 5 || via[0].URL.Scheme == "https" && to.URL.Scheme != "https" {
				return errors.New("a redirect that is not followed")
			}
			return nil
		},
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, jwks.MaxSize+1))
	if err != nil {
		return err
	}
	return k.use(text)
}

// openKeys returns the source of that name of the generation in force, or a new one.
func (s *Server) openKeys(location string, g *generation) (*keySource, error) {
	if k := g.access.keys[location]; k != nil {
		return k, nil
	}
	var k *keySource
	if old := s.current.Load(); old != nil {
		k = old.access.keys[location]
	}
	if k == nil || k.url == "" { // a file is read again
		k = newKeySource(location)
	}
	if k.url == "" {
		if err := k.file.read(); err != nil {
			return nil, err
		}
	}
	if g.access.keys == nil {
		g.access.keys = map[string]*keySource{}
	}
	g.access.keys[location] = k
	return k, nil
}

// startKeys starts the fetches of a generation, and ends those that only the one before needs; old may be nil.
func (s *Server) startKeys(old, g *generation) {
	for _, k := range g.access.keys {
		if k.url == "" || k.cancel != nil {
			continue
		}
		var ctx context.Context
		ctx, k.cancel = context.WithCancel(s.background)
		s.goRun(func() { k.run(ctx, s.log.Named("access")) })
	}
	if old == nil {
		return
	}
	var used []*keySource
	for _, k := range g.access.keys {
		used = append(used, k)
	}
	for _, k := range old.access.keys {
		if k.cancel != nil && !slices.Contains(used, k) {
			k.cancel()
		}
	}
}
