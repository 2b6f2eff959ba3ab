package proxy

import (
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"lb/internal/answer"
	"lb/internal/wire"
	"lb/route"
)

// statusLines holds "HTTP/1.1 200 OK\r\n" for every status that has a name.
var statusLines = func() (lines [600][]byte) {
	for status := range lines {
		if text := http.StatusText(status); text != "" {
			lines[status] = []byte("HTTP/1.1 " + strconv.Itoa(status) + " " + text + "\r\n")
		}
	}
	return lines
}()

func appendStatusLine(dst []byte, status int) []byte {
	if status < len(statusLines) && statusLines[status] != nil {
		return append(dst, statusLines[status]...)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	return append(dst, " \r\n"...)
}

// date holds the Date line of the current second, made by whoever needs it first.
var date atomic.Pointer[dateLine]

type dateLine struct {
	second int64
	line   []byte
}

func appendDate(dst []byte, now time.Time) []byte {
	d := date.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &dateLine{second, []byte("Date: " + now.UTC().Format(http.TimeFormat) + "\r\n")}
		date.Store(d)
	}
	return append(dst, d.line...)
}

// head starts the answer's head in x.res: the status line, header lines, and what every answer of
// the balancer's own bears.
func (x *Exchange) head(status int, header []byte) []byte {
	if !x.close {
		x.client.DropArrivedBody() // or the connection would have to end
	}
	b := appendStatusLine(x.res[:0], status)
	b = append(b, header...)
	b = append(b, x.Extra...)
	b = appendDate(b, x.start)
	return b
}

// endHead adds the request id, what the rules put in and how the connection goes on.
func (x *Exchange) endHead(b []byte, rules *route.HeaderRules) []byte {
	b = append(b, "X-Request-Id: "...)
	b = append(b, x.id...)
	b = append(b, '\r', '\n')
	b = rules.Append(b)
	if x.client.Draining() || x.client.BodyPending() {
		x.close = true
	}
	if x.close {
		x.client.EndAfter()
	}
	return append(append(b, x.connection()...), '\r', '\n')
}

// ownHead makes a head of the balancer's own in x.res, changed by the rules.
func (x *Exchange) ownHead(status int, header []byte, rules *route.HeaderRules) {
	x.status = status
	x.res = x.endHead(rules.Cut(x.head(status, header)), rules)
}

// rules returns those of the route for usual responses.
func (x *Exchange) rules() *route.HeaderRules {
	if x.route == nil {
		return nil
	}
	return &x.route.Response.Any
}

// typedRules returns those for responses whose Content-Type is not the route's to change.
func (x *Exchange) typedRules(status int) *route.HeaderRules {
	switch {
	case x.route == nil:
		return nil
	case status == http.StatusServiceUnavailable:
		return &x.route.Response.Outages
	}
	return &x.route.Response.Typed
}

// connection returns the Connection line of an answer, "" if it needs none.
func (x *Exchange) connection() string {
	switch {
	case x.close && x.offers:
		return "Connection: upgrade, close\r\n"
	case x.close:
		return "Connection: close\r\n"
	case x.http10 && x.offers:
		return "Connection: upgrade, keep-alive\r\n"
	case x.http10:
		return "Connection: keep-alive\r\n"
	case x.offers:
		return "Connection: upgrade\r\n"
	}
	return ""
}

// Respond answers with a status, complete header lines (Content-Length among them) and a body.
// For HEAD the body is left out. The body must not change afterwards: the client may take it later than Respond returns,
// with an error that is none.
func (x *Exchange) Respond(status int, header, body []byte) error {
	x.ownHead(status, header, x.rules())
	if x.Head() {
		body = nil
	} else if len(body) <= joinLimit {
		x.res, body = append(x.res, body...), nil
	}
	return x.finish(x.send(x.res, body))
}

// BeginParts sends the head of an answer of several parts, which More and MoreFile send. Its Content-Type stays, since it
// has the boundary.
func (x *Exchange) BeginParts(status int, header []byte) error {
	x.ownHead(status, header, x.typedRules(status))
	return x.sent(x.client.Send(x.res, nil))
}

// RespondFile is Respond with length bytes of f from offset as the body, which does not pass
// through the process's memory where the system can do without.
func (x *Exchange) RespondFile(status int, header []byte, f *os.File, offset, length int64) error {
	x.ownHead(status, header, x.rules())
	if x.Head() {
		return x.finish(x.send(x.res, nil))
	}
	return x.finish(x.sendFile(x.res, f, offset, length))
}

// sent notes how an answer ended: one cut short must not look whole.
func (x *Exchange) sent(_ int64, err error) error {
	if err != nil {
		x.cut("cannot send the answer: " + err.Error())
	}
	return err
}

// cut ends the connection in the middle of an answer.
func (x *Exchange) cut(reason string) {
	x.reason = reason
	x.client.Abort()
	x.client.EndAfter()
}

// Refuse responds with an error of the balancer's own: the site's page for the status if there is
// one, else what the client's Accept field prefers. What says that a backend failed, 502 or 504, is Unavailable on a site
// with a maintenance page.
func (x *Exchange) Refuse(status int, reason string) {
	if (status == http.StatusBadGateway || status == http.StatusGatewayTimeout) && x.maintenancePage() != nil {
		x.Unavailable(reason)
		return
	}
	x.reason = reason
	if status == http.StatusBadRequest {
		x.close = true
	}
	if page := x.site.ErrorPages[status]; page != nil {
		x.own(status, "text/html; charset=utf-8", page)
		return
	}
	body, media := answer.Body(wire.List(x.Fields, wire.Accept), status, reason, x.id)
	x.own(status, media, body)
}

// Fail is Refuse with a cause that the log tells and the client does not.
func (x *Exchange) Fail(status int, reason string, err error) {
	x.Refuse(status, reason)
	if err != nil {
		x.reason = reason + ": " + err.Error()
	}
}

// Unavailable answers 503 and asks to come back: with the site's maintenance page if there is one.
func (x *Exchange) Unavailable(reason string) {
	x.Extra = append(x.Extra, "Retry-After: 5\r\nCache-Control: no-store\r\n"...)
	if page := x.maintenancePage(); page != nil {
		x.reason = reason
		x.own(http.StatusServiceUnavailable, "text/html; charset=utf-8", page)
		return
	}
	x.Refuse(http.StatusServiceUnavailable, reason)
}

// maintenancePage returns the site's page, nil if it has none.
func (x *Exchange) maintenancePage() []byte {
	if m := x.site.Maintenance; m != nil {
		return m.Page
	}
	return nil
}

func (x *Exchange) own(status int, media string, body []byte) {
	x.status = status
	b := x.head(status, nil)
	b = append(b, "Content-Type: "...)
	b = append(b, media...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, '\r', '\n')
	rules := x.typedRules(status)
	x.res = x.endHead(rules.Cut(b), rules)
	if x.Head() {
		body = nil
	}
	_ = x.finish(x.send(x.res, body))
}

// More sends more of a body whose head announced it.
func (x *Exchange) More(body []byte) error { return x.sent(x.client.Send(nil, body)) }

// MoreFile sends length bytes of f from offset as more of a body.
func (x *Exchange) MoreFile(f *os.File, offset, length int64) error {
	return x.sent(x.client.SendFile(nil, f, offset, length))
}
