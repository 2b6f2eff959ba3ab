// Package country extends lb by a block that tells the backend from which country a request comes, and refuses those from some countries.
package country

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"lb/filter"
	"lb/message"
)

// Settings are the attributes of the block.
type Settings struct {
	Table   string        `hcl:"table,file"` // lines of a network and a country, as "192.0.2.0/24 DE"
	Service string        `hcl:"service"`    // instead of Table: a URL that responds to ?address=192.0.2.1 with the country
	Timeout time.Duration `hcl:"timeout"`    // of Service
	Field   string        `hcl:"field"`      // that the backend gets, and with Show the client
	Show    bool          `hcl:"show"`
	Blocked []string      `hcl:"blocked"` // countries whose requests get 451
}

// Extension is the block.
var Extension = filter.NewExtension("country", Settings{Field: "X-Country", Timeout: time.Second}, build)

func build(s Settings) (filter.Filters, error) {
	f := filter.Filters{Fields: []string{s.Field}}
	if !message.IsToken([]byte(s.Field)) {
		return f, fmt.Errorf("field is not a header name: %q", s.Field)
	}
	switch {
	case (s.Table == "") == (s.Service == ""):
		return f, errors.New("it needs either table or service")
	case s.Service != "":
		u, err := url.Parse(s.Service)
		if err != nil || u.Host == "" {
			return f, fmt.Errorf("service is not a URL: %q", s.Service)
		}
		f.Request = &asked{rules{s}, u, &http.Client{Timeout: s.Timeout}}
		f.Text = "asks " + u.Redacted()
		return f, nil
	}
	text, err := os.ReadFile(s.Table)
	if err != nil {
		return f, err
	}
	t, err := parse(text)
	if err != nil {
		return f, fmt.Errorf("%s: %w", s.Table, err)
	}
	l := &looked{rules{s}, t}
	f.Request = l
	if s.Show {
		f.Response = l
	}
	f.Text = fmt.Sprintf("%d networks of %s", len(t.countries), s.Table)
	return f, nil
}

// rules are what both kinds of filters share.
type rules struct{ Settings }

var blocked = &filter.Refusal{Status: http.StatusUnavailableForLegalReasons, Reason: "not available in this country", Rejected: "extension"}

// judge returns what happens to a request from a country; "" is an unknown one.
func (r *rules) judge(country string) (*filter.Refusal, []message.Field) {
	switch {
	case slices.Contains(r.Blocked, country):
		return blocked, nil
	case country == "":
		return nil, nil
	}
	return nil, []message.Field{message.NewField(r.Field, country)}
}

// looked looks countries up in a table, at once.
type looked struct {
	rules
	table *table
}

// Request implements filter.Request.
func (l *looked) Request(x filter.Exchange) filter.Verdict {
	refusal, fields := l.judge(l.table.of(x.ClientIP()))
	return filter.Verdict{Refusal: refusal, Grant: &filter.Grant{Fields: fields}}
}

// Response implements filter.Response.
func (l *looked) Response(x filter.Exchange, r *message.Response, kind filter.Kind) {
	if country := l.table.of(x.ClientIP()); country != "" && kind != filter.Interim {
		r.Add(l.Field, country)
	}
}

// asked asks a service, which takes time.
type asked struct {
	rules
	service *url.URL
	client  *http.Client
}

var unknown = &filter.Refusal{Status: http.StatusServiceUnavailable, Reason: "the country cannot be found out", Rejected: "extension"}

// Request implements filter.Request.
func (a *asked) Request(x filter.Exchange) filter.Verdict {
	address, grant := x.ClientIP(), &filter.Grant{} // Ask must not use x
	return filter.Verdict{Grant: grant, Ask: func(ctx context.Context) (refusal *filter.Refusal) {
		country, err := a.ask(ctx, address)
		if err != nil && len(a.Blocked) > 0 {
			return unknown
		}
		refusal, grant.Fields = a.judge(country)
		return refusal
	}}
}

// Explain implements filter.Explainer: explanations ask nobody.
func (a *asked) Explain(filter.Exchange) filter.Verdict { return filter.Pass }

func (a *asked) ask(ctx context.Context, address netip.Addr) (string, error) {
	u := *a.service
	query := u.Query()
	query.Set("address", address.String())
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64))
	if err != nil {
		return "", err
	}
	country := strings.TrimSpace(string(body))
	if response.StatusCode != http.StatusOK || !message.IsToken([]byte(country)) {
		return "", fmt.Errorf("%s: no country", response.Status)
	}
	return country, nil
}

// table has the countries of networks.
type table struct {
	countries map[netip.Prefix]string
	lengths   []int // of the prefixes, the longest first
}

func parse(text []byte) (*table, error) {
	t := &table{countries: map[netip.Prefix]string{}}
	lengths := map[int]bool{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		network, err := netip.ParsePrefix(words[0])
		if err != nil || len(words) != 2 || !message.IsToken([]byte(words[1])) {
			return nil, fmt.Errorf("line %d is not a network and a country", n)
		}
		t.countries[network.Masked()] = words[1]
		lengths[network.Bits()] = true
	}
	t.lengths = slices.SortedFunc(maps.Keys(lengths), func(a, b int) int { return b - a })
	return t, lines.Err()
}

// of returns the country of an address, "" if it is not known.
func (t *table) of(address netip.Addr) string {
	for _, n := range t.lengths {
		if network, err := address.Prefix(n); err == nil {
			if country := t.countries[network]; country != "" {
				return country
			}
		}
	}
	return ""
}
