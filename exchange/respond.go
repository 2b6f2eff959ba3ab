package exchange

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
	x.client.DropArrived() // or the connection would have to end
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

// ownHead makes the head of a response of the balancer's own.
func (x *Exchange) ownHead(status int, fields []message.Field, length int64, kind filter.Kind) {
	x.beginOwn(status, fields)
	x.response.Length = length
	x.filterResponse(kind)
	x.response.AddBytes(message.NameXRequestID, x.id)
}

// respond sends all of a response and ends the exchange with it. The body is left out to HEAD.
func (x *Exchange) respond(body []byte) {
	if x.Head() {
		body = nil
	}
	x.finish(x.client.Respond(&x.response, body, true, true))
}

// finish ends the exchange when all has been sent.
func (x *Exchange) finish(flushed bool) {
	if flushed {
		x.end()
		return
	}
	x.phase = phaseFlush
	x.wait(0)
}

// ownKind returns the kind of a response whose Content-Type is not the route's to change.
func ownKind(status int) filter.Kind {
	if status == http.StatusServiceUnavailable {
		return filter.Outage
	}
	return filter.Typed
}

// Respond responds with a status, its fields (Content-Length among them) and a body, which must not change afterwards: the client may
// take it later. For HEAD it is left out.
func (x *Exchange) Respond(status int, fields []message.Field, body []byte) {
	x.ownHead(status, fields, int64(len(body)), filter.Usual)
	x.respond(body)
}

// Part is a part of a response's body: bytes, and behind them length bytes of a file from an offset on.
type Part struct {
	Bytes          []byte
	File           *os.File
	Offset, Length int64
}

// RespondParts responds with a body of several parts, and calls done, which may be nil, when none of them is needed any more.
// typed says that the Content-Type stays as it is, since it has the boundary between the parts.
func (x *Exchange) RespondParts(status int, fields []message.Field, length int64, typed bool, parts []Part, done func()) {
	kind := filter.Usual
	if typed {
		kind = ownKind(status)
	}
	x.ownHead(status, fields, length, kind)
	x.partsDone = done
	if x.Head() || len(parts) == 0 {
		x.respond(nil)
		return
	}
	x.parts, x.phase = parts, phaseParts
	x.wait(0)
	if x.client.Respond(&x.response, nil, false, false) {
		x.sendParts()
	}
}

// sendParts goes on with the parts of a response.
func (x *Exchange) sendParts() {
	for len(x.parts) > 0 {
		part := &x.parts[0]
		flushed := true
		switch {
		case len(part.Bytes) > 0:
			flushed = x.client.Send(part.Bytes, false, nil)
			part.Bytes = nil
		case part.Length > 0:
			flushed = x.client.SendFile(part.File, part.Offset, part.Length)
			part.Length = 0
		default:
			x.parts = x.parts[1:]
		}
		if !flushed {
			return
		}
	}
	x.end()
}

// cut ends the connection in the middle of a response, and the exchange.
func (x *Exchange) cut(reason string) {
	x.reason = reason
	x.client.Abort()
	x.end()
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
		x.client.Close()
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
	if err != nil {
		x.cause = ": " + err.Error()
	}
	x.Refuse(status, reason)
}

var outageFields = []message.Field{message.NewField("Retry-After", "5"), message.NewField("Cache-Control", "no-store")}

// Unavailable answers 503 and asks to come back: with the site's maintenance page if there is one.
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
	r.AddBytes(message.NameXRequestID, x.id)
	x.respond(body)
}
