package certificate

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/certmagic"

	"lb/netloop"
)

// Bounds of what clients can cause by the names that they ask for.
const (
	askLimit    = 5 * time.Second  // for the response of Ask
	demandLimit = 3 * time.Minute  // for an attempt to obtain a certificate
	waitLimit   = 30 * time.Second // for a handshake that waits for it
	mostDemands = 32               // attempts at a time
	refusedFor  = time.Minute      // how long a name is not tried again
	mostRefused = 10_000           // names of which that is known
)

// demand is the names that clients ask for. Under ACME.mu.
type demand struct {
	running map[string]chan struct{} // attempts; each is closed at its end
	refused map[string]time.Time     // until when a name is not tried again
}

// onDemand returns a certificate for a name of which there is none yet, nil if there can be none. It waits until that is known.
func (a *ACME) onDemand(hello *tls.ClientHelloInfo, name string) *tls.Certificate {
	if a.options.Ask == "" || !certmagic.SubjectQualifiesForCert(name) || certmagic.SubjectIsIP(name) {
		return nil
	}
	done := a.demanded(name)
	if done == nil {
		return nil
	}
	netloop.Wait(hello.Conn, func(failed <-chan struct{}) {
		limit := time.NewTimer(waitLimit)
		defer limit.Stop()
		select {
		case <-done:
		case <-failed:
		case <-limit.C:
		case <-a.ctx.Done():
		}
	})
	if list := a.find(name); len(list) > 0 {
		return list[0]
	}
	return nil
}

// demanded begins an attempt to obtain the certificate of a name, if there is none running, and returns what is closed at its
// end. It returns nil if the name is not to be tried now.
func (a *ACME) demanded(name string) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := &a.demand
	if d.running == nil {
		d.running, d.refused = map[string]chan struct{}{}, map[string]time.Time{}
	}
	if done := d.running[name]; done != nil {
		return done
	}
	if time.Now().Before(d.refused[name]) || len(d.running) >= mostDemands || a.ctx.Err() != nil {
		return nil
	}
	done := make(chan struct{})
	d.running[name] = done
	a.running.Go(func() {
		defer close(done)
		a.meet(name)
	})
	return done
}

// meet makes one attempt to obtain the certificate of a name that a client asks for.
func (a *ACME) meet(name string) {
	ctx, cancel := context.WithTimeout(a.ctx, demandLimit)
	defer cancel()
	err := a.ask(ctx, name)
	if err != nil {
		a.options.Log.Debug("no certificate on demand", "name", name, "error", err)
	} else {
		a.add(name)
		if err = a.obtain(ctx, name); err != nil && a.ctx.Err() == nil {
			a.options.Log.Error("cannot obtain a certificate on demand", "name", name, "error", err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	d := &a.demand
	delete(d.running, name)
	if err == nil {
		delete(d.refused, name)
		return
	}
	if len(d.refused) >= mostRefused {
		clear(d.refused)
	}
	d.refused[name] = time.Now().Add(refusedFor)
}

// add makes a name known, so that its certificate is shown and renewed.
func (a *ACME) add(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.states[name] == nil {
		a.names = append(a.names, name)
		a.states[name] = &issuance{}
	}
}

// ask asks the configured URL whether a name may have a certificate.
func (a *ACME) ask(ctx context.Context, name string) error {
	u, err := url.Parse(a.options.Ask)
	if err != nil {
		return err
	}
	query := u.Query()
	query.Set("domain", name)
	u.RawQuery = query.Encode()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s responds with %s", u.Redacted(), response.Status)
	}
	return nil
}
