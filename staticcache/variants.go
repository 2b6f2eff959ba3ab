package staticcache

import (
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"lb/internal/coding"
)

// siblings are the identities of the compressed files beside a file, by their coding. The zero identity is that of a missing file.
type siblings [coding.Count]identity

// negotiates reports whether a file may have compressed variants. One that is itself named as a compressed file has none.
func (d *Dir) negotiates(name string) bool {
	if !d.compress {
		return false
	}
	switch extension(name) {
	case ".gz", ".br", ".zst", ".svgz", ".tgz":
		return false
	}
	return true
}

// findSiblings looks for the compressed files beside a file: "app.css.br" beside "app.css".
func (d *Dir) findSiblings(root *os.Root, name string) (found siblings) {
	for _, c := range coding.All {
		if info, err := root.Stat(name + c.Extension()); err == nil && info.Mode().IsRegular() {
			found[c] = identify(info)
		}
	}
	return found
}

// newEntry makes an entry of a file that was read whole, with the compressed files beside it that fit into memory.
func (d *Dir) newEntry(root *os.Root, name string, body []byte, info os.FileInfo) *entry {
	now := time.Now()
	e := &entry{file: true, name: name, id: identify(info)}
	e.young = e.id.changed.After(now.Add(-settled))
	r := describe(name, body[:min(len(body), 512)], info, d.cacheControlOf(name), now)
	if d.negotiates(name) {
		d.readSiblings(e, root, r, int64(len(body)))
		if d.compressible(&r, len(body)) {
			r.negotiated = true
			if !e.young && len(e.encoded) < len(coding.All) {
				e.job.state.Store(jobWanted)
			}
		}
		r.negotiated = r.negotiated || len(e.encoded) > 0
	}
	e.variant = newVariant(r, body)
	return e
}

// readSiblings reads the compressed files beside a file of that size. Those that cannot be read, do not fit, or are not smaller, are
// left out.
func (d *Dir) readSiblings(e *entry, root *os.Root, r representation, size int64) {
	e.siblings = d.findSiblings(root, e.name)
	r.negotiated = true
	total := size
	for _, c := range coding.All {
		own := e.siblings[c].size
		if e.siblings[c] == (identity{}) || own >= size || !d.cache.holds(total+own+overhead*int64(coding.Count)) {
			continue
		}
		total += own
		body, info, err := d.cache.readWhole(root, e.name+c.Extension())
		if errors.Is(err, errUnstable) {
			e.young = true // it is read again soon
		}
		if err != nil {
			continue
		}
		e.siblings[c] = identify(info)
		e.young = e.young || e.siblings[c].changed.After(time.Now().Add(-settled))
		r.coding = c
		e.encoded = append(e.encoded, newVariant(r, body))
	}
	slices.SortStableFunc(e.encoded, bySize)
}

func bySize(a, b variant) int { return len(a.body) - len(b.body) }

// choose returns the variant for a request: the one that the client prefers, among equal ones the first, and the file as
// it is if the client accepts none of them. It has the file compressed if that is still to be done.
func (d *Dir) choose(e *entry, r *Request) *variant {
	best := &e.variant
	if len(r.AcceptEncoding) == 0 {
		return best
	}
	accepted := coding.Accept(r.AcceptEncoding)
	if accepted.Best() != coding.Identity && e.job.state.Load() == jobWanted {
		d.cache.request(d, e)
	}
	weight := int16(0)
	for i := range e.encoded {
		if w := accepted.Weight(e.encoded[i].coding); w > weight {
			best, weight = &e.encoded[i], w
		}
	}
	return best
}

// chooseSibling opens the compressed file beside a large file that the client prefers, and describes it in rep; nil if there
// is none, or if the client accepts none.
func (d *Dir) chooseSibling(root *os.Root, name string, r *Request, rep *representation) *os.File {
	found := d.findSiblings(root, name)
	if found == (siblings{}) {
		return nil
	}
	rep.negotiated = true
	accepted := coding.Accept(r.AcceptEncoding)
	best, weight := coding.Identity, int16(0)
	for _, c := range coding.All {
		w := accepted.Weight(c)
		if found[c] != (identity{}) && found[c].size < rep.size && w > 0 && (w > weight || w == weight && found[c].size < found[best].size) {
			best, weight = c, w
		}
	}
	if best == coding.Identity {
		return nil
	}
	f, info, err := openRegular(root, name+best.Extension())
	if err != nil {
		return nil
	}
	chosen := describe(name, nil, info, d.cacheControlOf(name), time.Now())
	chosen.contentType = rep.contentType
	chosen.coding, chosen.negotiated = best, true
	if chosen.etag != "" { // the file itself may have the same time and size
		chosen.etag = strings.TrimSuffix(chosen.etag, `"`) + "-" + best.Name() + `"`
	}
	*rep = chosen
	return f
}
