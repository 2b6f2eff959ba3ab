package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// LookInterval is how often files are to be looked at: see File.Look.
const LookInterval = time.Second

// A File is a certificate and its key in a pair of PEM files. What was loaded last is kept while the files cannot be used.
type File struct {
	cert, key string
	current   atomic.Pointer[tls.Certificate]
	broken    atomic.Pointer[string] // why the files as they are now cannot be used; nil: they can

	looking sync.Mutex
	seen    [2]stamp // of the files when they were loaded, or found unusable
	doubted bool     // they were found invalid once, perhaps because they are being written
	state   State    // when Look last saw it
}

// stamp distinguishes versions of a file.
type stamp struct {
	info os.FileInfo // nil: there is no file
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info}
}

func (s stamp) same(o stamp) bool {
	if s.info == nil || o.info == nil {
		return s.info == o.info
	}
	return os.SameFile(s.info, o.info) && s.info.ModTime().Equal(o.info.ModTime()) && s.info.Size() == o.info.Size()
}

// Open loads a pair of PEM files: the certificate, followed by its chain, and its key.
func Open(cert, key string) (*File, error) {
	f := &File{cert: cert, key: key}
	f.seen = f.stamps()
	pair, err := load(cert, key)
	if err != nil {
		return nil, err
	}
	f.current.Store(pair)
	f.state = f.Status(time.Now()).State
	return f, nil
}

func load(cert, key string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	if pair.Leaf == nil { // as GODEBUG can have it
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, err
		}
	}
	return &pair, nil
}

func (f *File) stamps() [2]stamp { return [2]stamp{stampOf(f.cert), stampOf(f.key)} }

// Certificate is what is to be presented to clients.
func (f *File) Certificate() *tls.Certificate { return f.current.Load() }

// Status describes the certificate at a time.
func (f *File) Status(now time.Time) Status {
	s := statusOf(f.current.Load().Leaf, now, 3)
	s.File = f.cert
	if why := f.broken.Load(); why != nil {
		s.Error = *why
		if s.State == Valid || s.State == Expiring {
			s.State = Broken
		}
	}
	return s
}

// Look loads the files again if they have changed, and reports whether there is another certificate now. Files that do not
// fit together may be on their way to be replaced one by one, so that they are called broken at the second look. It logs each
// change.
func (f *File) Look(log hclog.Logger, now time.Time) (changed bool) {
	f.looking.Lock()
	defer f.looking.Unlock()
	stamps := f.stamps()
	same := stamps[0].same(f.seen[0]) && stamps[1].same(f.seen[1])
	f.seen = stamps
	if f.doubted || !same {
		changed = f.reload(log, same)
	}
	f.logState(log, now)
	return changed
}

// reload loads the files, which are the same as at the last look or not.
func (f *File) reload(log hclog.Logger, same bool) (changed bool) {
	old := f.current.Load()
	pair, err := load(f.cert, f.key)
	if err != nil {
		if !f.doubted || !same {
			f.doubted = true
			return false
		}
		f.doubted = false
		why := err.Error()
		f.broken.Store(&why)
		log.Error("cannot use the certificate files; the certificate that was loaded before stays in use",
			"cert", f.cert, "key", f.key, "error", err, "remedy", "write a certificate and its own key")
		return false
	}
	f.doubted = false
	repaired := f.broken.Swap(nil) != nil
	if slices.EqualFunc(old.Certificate, pair.Certificate, bytes.Equal) {
		if repaired {
			log.Info("the certificate files can be used again", "cert", f.cert, "key", f.key)
		}
		return false
	}
	f.current.Store(pair)
	log.Info("certificate replaced", "cert", f.cert, "subject", subjectOf(pair.Leaf), "expires", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	return true
}

// logState warns when the state gets worse.
func (f *File) logState(log hclog.Logger, now time.Time) {
	s := f.Status(now)
	if s.State == f.state {
		return
	}
	f.state = s.State
	warn(log, s)
}

// warn logs a state that needs attention. Broken was logged with its cause.
func warn(log hclog.Logger, s Status) {
	what := ""
	switch s.State {
	case Expiring:
		what = "a certificate expires soon; renew it"
		if s.ACME {
			what = "a certificate expires soon and was not renewed"
		}
	case Expired:
		what = "a certificate has expired; clients reject it"
	case NotYetValid:
		what = "a certificate is not valid yet; clients reject it"
	default:
		return
	}
	log.Warn(what, "subject", s.Subject, "expires", s.NotAfter.UTC().Format(time.RFC3339), "file", s.File)
}
