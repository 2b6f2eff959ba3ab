package staticcache

import (
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"lb/internal/errorpage"
	"lb/message"
)

// mostListed is how many names of a directory are listed. There is a note if it has more.
const mostListed = 10_000

// listed is one line of a listing. Its JSON is that of nginx's autoindex.
type listed struct {
	Name     string    `json:"name"`
	Type     string    `json:"type"` // "file" or "directory"
	Modified time.Time `json:"mtime"`
	Size     int64     `json:"size,omitempty"` // bytes, of a file
}

func (l *listed) directory() bool { return l.Type == "directory" }

// list responds with the names in a directory, as HTML, or as JSON if the client prefers it. Requests at the same time share a listing.
func (d *Dir) list(w ResponseWriter, r *Request, root *os.Root, dir string) (Result, error) {
	form, media, encode := "html ", "text/html; charset=utf-8", listingPage
	if errorpage.PrefersJSON(r.Accept) {
		form, media, encode = "json ", "application/json", listingJSON
	}
	shared, err, _ := d.listings.Do(form+dir, func() (any, error) {
		entries, more, err := d.names(root, dir)
		if err != nil {
			return nil, err
		}
		return encode(dir, entries, more)
	})
	if err != nil {
		return refusal(err)
	}
	body := shared.([]byte)
	d.cache.counts.stream.Inc()
	b := appendLine(nil, "Content-Type: ", media)
	b = appendLength(b, int64(len(body)))
	b = append(b, "Vary: Accept\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"+
		"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"...)
	if len(r.Method) == len("HEAD") {
		body = nil
	}
	return Served, w.Respond(http.StatusOK, message.Lines(b, nil), body)
}

func listingJSON(_ string, entries []listed, _ bool) ([]byte, error) { return json.Marshal(entries) }

// names returns what a request could get of a directory, directories first, in the order of their names. Links that lead out of the root,
// and what is neither a file nor a directory, are left out.
func (d *Dir) names(root *os.Root, dir string) (entries []listed, more bool, err error) {
	f, err := root.Open(statName(dir))
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	found, err := f.ReadDir(mostListed + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	entries = []listed{}
	for _, e := range found[:min(len(found), mostListed)] {
		if !d.visible(e.Name()) {
			continue
		}
		info, err := root.Stat(dir + e.Name())
		switch {
		case err != nil:
		case info.IsDir():
			entries = append(entries, listed{e.Name(), "directory", modified(info), 0})
		case info.Mode().IsRegular():
			entries = append(entries, listed{e.Name(), "file", modified(info), info.Size()})
		}
	}
	slices.SortFunc(entries, func(a, b listed) int {
		if a.directory() != b.directory() {
			return strings.Compare(a.Type, b.Type)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return entries, len(found) > mostListed, nil
}

// modified returns the time of the last change in seconds, and the zero time for a year that JSON has no form for (RFC 3339).
func modified(info os.FileInfo) time.Time {
	t := info.ModTime().UTC().Truncate(time.Second)
	if t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

const (
	listingStart = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 1rem auto; padding: 0 1rem }
h1 { font-size: 1.2rem; overflow-wrap: anywhere }
ul { list-style: none; padding: 0 }
li { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .4rem 0; border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent) }
a { flex: 1 1 16rem; overflow-wrap: anywhere; text-decoration: none }
small { opacity: .7; font-variant-numeric: tabular-nums }
</style>
`
	listingNote = "<p>There are more files, which are not listed.</p>\n"
)

// listingPage returns the page for a directory, whose clean path is empty or ends in a slash.
func listingPage(dir string, entries []listed, more bool) ([]byte, error) {
	var b strings.Builder
	title := html.EscapeString("/" + strings.ToValidUTF8(dir, "\uFFFD"))
	b.WriteString(listingStart + "<title>" + title + "</title>\n<h1>" + title + "</h1>\n<ul>\n")
	if dir != "" {
		b.WriteString("<li><a href=\"../\">..</a></li>\n")
	}
	for i := range entries {
		e := &entries[i]
		slash, size := "", strconv.FormatInt(e.Size, 10)+" bytes"
		if e.directory() {
			slash, size = "/", ""
		}
		b.WriteString("<li><a href=\"./" + url.PathEscape(e.Name) + slash + "\">" + html.EscapeString(strings.ToValidUTF8(e.Name, "\uFFFD")) + slash +
			"</a><small>" + size + "</small><small>" + e.Modified.Format("2006-01-02 15:04") + "</small></li>\n")
	}
	b.WriteString("</ul>\n")
	if more {
		b.WriteString(listingNote)
	}
	return []byte(b.String()), nil
}
