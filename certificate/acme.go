package certificate

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/hashicorp/go-hclog"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// ACMEOptions say which certificates are obtained from which ACME servers (RFC 8555), and how.
type ACMEOptions struct {
	Domains     []string    // host names, also with a wildcard, and addresses; a certificate each
	Email       string      // of the account; may be empty
	Directories []Directory // of the servers, in the order in which they are tried
	Storage     string      // the directory that keeps accounts, keys and certificates
	HTTP01      bool        // http-01 may be used: see HTTPChallenge
	TLSALPN01   bool        // tls-alpn-01 may be used: see TLSChallenge
	DNSExec     string      // a program that sets DNS records, for dns-01, which is used alone then; empty: no dns-01
	// Ask is a URL. If it is set, certificates for other names are obtained when a client asks for them, provided that GET on this
	// URL with the parameter domain=NAME has a response of 200.
	Ask string
	Log hclog.Logger
	Intervals
}

// Directory is an ACME server.
type Directory struct {
	URL     string         // of its directory
	Roots   *x509.CertPool // that its own certificate is verified by; nil: those of the system
	Profile string         // that is ordered; empty: the server's default
	KeyID   string         // of the external account (RFC 8555 section 7.3.4); empty: none
	MACKey  string         // its key, in base64url
}

// Intervals are what tests shorten.
type Intervals struct {
	Check time.Duration // between looks at which certificates must be renewed; 0: 10 minutes
	Retry time.Duration // until the first retry of an attempt that failed; 0: a minute
}

// longestRetry bounds the time between attempts, which is three times as long after each.
const longestRetry = time.Hour

// ACME is the certificates that are obtained by ACME.
type ACME struct {
	options ACMEOptions
	cache   *certmagic.Cache
	config  atomic.Pointer[certmagic.Config] // for the ports that are in force
	logger  *zap.Logger
	// placeholder is presented to clients until there is a certificate.
	placeholder *tls.Certificate

	started atomic.Bool
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	names  []string // of Domains, and those that clients have asked for
	states map[string]*issuance
	demand demand
}

// issuance is what is known of the certificate of a name. Under ACME.mu.
type issuance struct {
	failure string // of the last attempt; empty: it has succeeded, or none was made
	// When Look last saw it.
	state    State
	notAfter time.Time
}

// NewACME prepares what the options say. Nothing is asked of a server before Start. Stop must be called in any case.
func NewACME(o ACMEOptions) (*ACME, error) {
	placeholder, err := selfSigned(o.Domains)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	o.Check, o.Retry = cmp.Or(o.Check, certmagic.DefaultRenewCheckInterval), cmp.Or(o.Retry, time.Minute)
	a := &ACME{options: o, placeholder: placeholder, names: slices.Clone(o.Domains), states: map[string]*issuance{}}
	for _, name := range a.names {
		a.states[name] = &issuance{}
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.logger = zapLogger(o.Log)
	a.cache = certmagic.NewCache(certmagic.CacheOptions{GetConfigForCert: a.configOf, RenewCheckInterval: o.Check, Logger: a.logger})
	a.UsePorts(Ports{})
	return a, nil
}

// loadLimit bounds Load, which may ask for the revocation status of certificates.
const loadLimit = 2 * time.Second

// Load loads the certificates that the storage has. It takes two seconds at most, and then continues in the background.
func (a *ACME) Load() {
	loaded := make(chan struct{})
	a.running.Go(func() {
		defer close(loaded)
		for _, name := range a.options.Domains {
			if a.ctx.Err() == nil {
				_ = a.load(a.ctx, name) // Start finds out what is missing
			}
		}
	})
	limit := time.NewTimer(loadLimit)
	defer limit.Stop()
	select {
	case <-loaded:
	case <-limit.C:
	}
}

// Ports are where challenges are responded to in this process. certmagic would listen there itself if no listener did.
type Ports struct {
	Host      string // that both ports are on; empty: several
	HTTP, TLS int    // 0: there is none
}

// UsePorts has the attempts to come use these ports.
func (a *ACME) UsePorts(ports Ports) {
	config := certmagic.New(a.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: a.options.Storage}, OnEvent: a.event, Logger: a.logger, Issuers: []certmagic.Issuer{},
	})
	config.Issuers = a.issuers(config, ports)
	a.config.Store(config)
}

// configOf returns how a certificate is renewed.
func (a *ACME) configOf(certmagic.Certificate) (*certmagic.Config, error) {
	if !a.started.Load() {
		return nil, errors.New("not started yet")
	}
	return a.config.Load(), nil
}

func (a *ACME) issuers(config *certmagic.Config, ports Ports) (list []certmagic.Issuer) {
	for _, d := range a.options.Directories {
		template := certmagic.ACMEIssuer{
			CA: d.URL, Email: a.options.Email, Agreed: true, Profile: d.Profile, TrustedRoots: d.Roots,
			DisableHTTPChallenge: !a.options.HTTP01 || ports.HTTP == 0, DisableTLSALPNChallenge: !a.options.TLSALPN01 || ports.TLS == 0,
			DisableDistributedSolvers: true, ListenHost: ports.Host, AltHTTPPort: ports.HTTP, AltTLSALPNPort: ports.TLS,
			Logger: a.logger,
		}
		if a.options.DNSExec != "" {
			template.DNS01Solver = dnsExec{a.options.DNSExec}
		}
		if d.KeyID != "" {
			template.ExternalAccount = &acme.EAB{KeyID: d.KeyID, MACKey: d.MACKey}
		}
		list = append(list, certmagic.NewACMEIssuer(config, template))
	}
	return list
}

// Start obtains the certificates that are missing and has all of them renewed in time, until Stop. The listeners accept by now.
func (a *ACME) Start(ports Ports) {
	a.UsePorts(ports)
	a.started.Store(true)
	var missing []string
	for _, name := range a.options.Domains {
		if len(a.find(name)) == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		a.options.Log.Warn("no certificate yet: clients get a self-signed one until it is obtained", "names", missing)
	}
	for _, name := range missing {
		a.running.Go(func() { a.manage(name) })
	}
	a.running.Go(func() {
		if err := a.cache.RenewManagedCertificates(a.ctx); err != nil { // those that ended while lb did not run
			a.options.Log.Error("cannot renew certificates", "error", err)
		}
	})
}

// stopLimit bounds the wait for certmagic, which does not interrupt a request for renewal information.
const stopLimit = 2 * time.Second

// Stop ends what Start began, and waits for it.
func (a *ACME) Stop() {
	a.mu.Lock()
	a.cancel() // under the lock: see demanded
	a.mu.Unlock()
	a.running.Wait()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.cache.Stop()
	}()
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-stopped:
	case <-limit.C:
	}
}

// manage obtains the first certificate of a name, in as many attempts as it takes.
func (a *ACME) manage(name string) {
	wait := a.options.Retry
	for {
		err := a.obtain(a.ctx, name)
		if err == nil || a.ctx.Err() != nil {
			return
		}
		a.options.Log.Error("cannot obtain a certificate; will retry", "name", name, "in", wait, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-a.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = min(3*wait, longestRetry)
	}
}

// attempt is one attempt to obtain a certificate.
type attempt struct {
	cancel context.CancelFunc
	err    error // why it failed
}

type attemptKey struct{}

// obtain loads the certificate of a name from the storage, or obtains it in one attempt.
func (a *ACME) obtain(ctx context.Context, name string) (err error) {
	defer func() {
		if ctx.Err() == nil {
			a.note(name, err)
		}
	}()
	if err = a.load(ctx, name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	try := &attempt{}
	inner, cancel := context.WithCancel(context.WithValue(ctx, attemptKey{}, try))
	defer cancel()
	try.cancel = cancel // certmagic would retry by itself, at times of its own
	err = a.config.Load().ObtainCertAsync(inner, name)
	if try.err != nil {
		err = try.err
	}
	if err == nil {
		err = a.load(ctx, name)
	}
	return err
}

// load loads the certificate of a name from the storage. If there is none, the error is fs.ErrNotExist.
func (a *ACME) load(ctx context.Context, name string) error {
	_, err := a.config.Load().CacheManagedCertificate(ctx, name)
	if err != nil {
		err = fmt.Errorf("cannot load it from the storage %q: %w", a.options.Storage, err)
	}
	return err
}

// event receives certmagic's events.
func (a *ACME) event(ctx context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	renewal, _ := data["renewal"].(bool)
	switch event {
	case "cert_obtaining":
		if renewal && !slices.Contains(a.options.Domains, name) {
			return a.ask(ctx, name) // it may not be wanted any more
		}
	case "cert_obtained":
		a.note(name, nil)
		a.options.Log.Info("certificate obtained", "name", name, "issuer", data["issuer"], "renewal", renewal)
	case "cert_failed":
		err, _ := data["error"].(error)
		if try, ok := ctx.Value(attemptKey{}).(*attempt); ok {
			try.err = err
			try.cancel()
		} else {
			a.note(name, err)
			a.options.Log.Error("cannot renew a certificate; will retry", "name", name, "error", err)
		}
	}
	return nil
}

// note keeps how the last attempt for a name has ended.
func (a *ACME) note(name string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.states[name]; s != nil {
		s.failure = ""
		if err != nil {
			s.failure = err.Error()
		}
	}
}

// manages reports whether the name is one of Domains, wildcards aside.
func (a *ACME) manages(name string) bool { return slices.Contains(a.options.Domains, name) }

// find returns the certificates for a name, those with a wildcard last.
func (a *ACME) find(name string) (list []*tls.Certificate) {
	certs := a.cache.AllMatchingCertificates(name)
	for i := range certs {
		list = append(list, &certs[i].Certificate)
	}
	return list
}

// fallback returns what is presented to clients that ask for none of the names.
func (a *ACME) fallback() *tls.Certificate {
	for _, name := range a.options.Domains {
		if list := a.find(name); len(list) > 0 {
			return list[0]
		}
	}
	return a.placeholder
}

// Status describes the certificate of each name at a time.
func (a *ACME) Status(now time.Time) (list []Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range a.names {
		list = append(list, a.status(name, now))
	}
	return list
}

// status describes the certificate of a name. The caller holds a.mu.
func (a *ACME) status(name string, now time.Time) Status {
	s := Status{Subject: name, Names: []string{name}, State: Pending}
	if found := a.find(name); len(found) > 0 {
		// A renewal begins when a third of the lifetime is left. So expiring means that it is overdue.
		s = statusOf(found[0].Leaf, now, 4)
	}
	s.ACME = true
	if failure := a.states[name].failure; failure != "" {
		s.Error = failure
		if s.State == Pending || s.State == Valid || s.State == Expiring {
			s.State = Failed
		}
	}
	return s
}

// Look logs which certificates need attention, and reports whether there is another certificate than at the last look.
func (a *ACME) Look(log hclog.Logger, now time.Time) (changed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range a.names {
		s, known := a.status(name, now), a.states[name]
		if s.State != known.state {
			known.state = s.State
			warn(log, s)
		}
		changed = changed || !s.NotAfter.Equal(known.notAfter)
		known.notAfter = s.NotAfter
	}
	return changed
}
