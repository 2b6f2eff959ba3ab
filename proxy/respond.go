package proxy

import (
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"lb/filter"
	"lb/internal/answer"
	"lb/message"
)

// date holds the Date field of the current second, made by whatever needs it first.
var date atomic.Pointer[dateOfSecond]

type dateOfSecond struct {
	second int64
	field  message.Field
}

func dateAt(now time.Time) message.Field {
	d := date.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &dateOfSecond{second, message.NewField("Date", now.UTC().Format(http.TimeFormat))}
		date.Store(d)
	}
	return d.field
}

// beginOwn begins a response of the balancer's own in x.response, with those fields and what has been added.
func (x *Exchange) beginOwn(status int, fields []message.Field) {
	x.client.DropArrivedBody() // or the connection would have to end
	x.status = status
	r := &x.response
	r.Reset(status)
	r.Fields = append(r.Fields, fields...)
	r.Fields = append(r.Fields, x.Extra...)
	r.Fields = append(r.Fields, dateAt(x.start))
}

// filterResponse has the filters of the route change the response in x.response.
func (x *Exchange) filterResponse(kind filter.Kind) {
	if x.route != nil {
		for _, f := range x.route.Response {
			f.Response(x, &x.response, kind)
		}
	}
}

// respond completes the response in x.response, but for its body, by the request id.
func (x *Exchange) respond() {
	x.response.AddBytes(message.NameXRequestID, x.id)
	if x.client.BodyPending() {
		x.client.EndAfter()
	}
	x.client.Respond(&x.response)
}

// respondOwn responds with a head of the balancer's own.
func (x *Exchange) respondOwn(status int, fields []message.Field, length int64, kind filter.Kind) {
	x.beginOwn(status, fields)
	x.response.Length = length
	x.filterResponse(kind)
	x.respond()
}

// ownKind returns the kind of a response whose Content-Type is not the route's to change.
func ownKind(status int) filter.Kind {
	if status == http.StatusServiceUnavailable {
		return filter.Outage
	}
	return filter.Typed
}

// Respond responds with a status, its fields (Content-Length among them) and a body.
// For HEAD the body is left out. The body must not change afterwards: the client may take it later than Respond returns,
// with an error that is none.
func (x *Exchange) Respond(status int, fields []message.Field, body []byte) error {
	x.respondOwn(status, fields, int64(len(body)), filter.Usual)
	if x.Head() {
		body = nil
	}
	return x.finish(x.send(body, true, nil))
}

// BeginParts sends the head of a response of several parts, of that length, which More and MoreFile send. Its Content-Type stays, since it
// has the boundary.
func (x *Exchange) BeginParts(status int, fields []message.Field, length int64) error {
	x.respondOwn(status, fields, length, ownKind(status))
	return x.More(nil)
}

// RespondFile is Respond with length bytes of f from offset as the body, which does not pass
// through the process's memory where the system can do without.
func (x *Exchange) RespondFile(status int, fields []message.Field, f *os.File, offset, length int64) error {
	x.respondOwn(status, fields, length, filter.Usual)
	if x.Head() {
		return x.finish(x.send(nil, true, nil))
	}
	return x.finish(x.sendFile(f, offset, length))
}

// sent notes how a response ended: one cut short must not look whole.
func (x *Exchange) sent(err error) error {
	if err != nil {
		x.cut("cannot send the answer: " + err.Error())
	}
	return err
}

// cut ends the connection in the middle of a response.
func (x *Exchange) cut(reason string) {
	x.reason = reason
	x.client.Abort()
	x.client.EndAfter()
}

// Refuse responds with an error of the balancer's own: the site's page for the status if there is
// one, else what the client's Accept field prefers. What says that a backend failed, 502 or 504, is Unavailable on a site
// with a maintenance page.
func (x *Exchange) Refuse(status int, reason string) {
	if (status == http.StatusBadGateway || status == http.StatusGatewayTimeout) && x.site.MaintenancePage != nil {
		x.Unavailable(reason)
		return
	}
	x.reason = reason
	if status == http.StatusBadRequest {
		x.client.EndAfter()
	}
	if page := x.site.ErrorPages[status]; page != nil {
		x.own(status, "text/html; charset=utf-8", page)
		return
	}
	body, media := answer.Body(message.List(x.Request.Fields, message.Accept), status, reason, x.id)
	x.own(status, media, body)
}

// Fail is Refuse with a cause that the log tells and the client does not.
func (x *Exchange) Fail(status int, reason string, err error) {
	x.Refuse(status, reason)
	if err != nil {
		x.reason = reason + ": " + err.Error()
	}
}

var outageFields = []message.Field{message.NewField("Retry-After", "5"), message.NewField("Cache-Control", "no-store")}

// Unavailable responds with 503 and asks to come back: with the site's maintenance page if there is one.
func (x *Exchange) Unavailable(reason string) {
	x.Extra = append(x.Extra, outageFields...)
	if page := x.site.MaintenancePage; page != nil {
		x.reason = reason
		x.own(http.StatusServiceUnavailable, "text/html; charset=utf-8", page)
		return
	}
	x.Refuse(http.StatusServiceUnavailable, reason)
}

func (x *Exchange) own(status int, media string, body []byte) {
	x.beginOwn(status, nil)
	r := &x.response
	r.Add("Content-Type", media)
	r.SetLength(int64(len(body)))
	x.filterResponse(ownKind(status))
	x.respond()
	if x.Head() {
		body = nil
	}
	_ = x.finish(x.send(body, true, nil))
}

// More sends more of a body whose head announced it.
func (x *Exchange) More(body []byte) error {
	_, err := x.client.Send(body, 0)
	return x.sent(err)
}

// MoreFile sends length bytes of f from offset as more of a body.
func (x *Exchange) MoreFile(f *os.File, offset, length int64) error {
	_, err := x.client.SendFile(f, offset, length, 0)
	return x.sent(err)
}
