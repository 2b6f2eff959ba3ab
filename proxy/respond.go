package proxy

import (
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"lb/filter"
	"lb/internal/errorpage"
	"lb/message"
)

// date caches the Date field of the current second.
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

var nameAltSvc = message.NewName("Alt-Svc")

func hasAltSvc(fields []message.Field) bool {
	for i := range fields {
		if message.EqualFold(fields[i].Name, "alt-svc") {
			return true
		}
	}
	return false
}

// beginOwn begins lb's own response in x.response, with the given fields and x.Extra.
func (x *Exchange) beginOwn(status int, fields []message.Field) {
	x.status = status
	r := &x.response
	r.Reset(status)
	r.Fields = append(r.Fields, fields...)
	r.Fields = append(r.Fields, x.Extra...)
	r.Fields = append(r.Fields, dateAt(x.start))
}

// filterResponse applies the response filters of the route to x.response, and announces HTTP/3 if nothing else is said of it.
func (x *Exchange) filterResponse(kind filter.Kind) {
	if x.route != nil {
		for _, f := range x.route.Response {
			f.Response(x, &x.response, kind)
		}
	}
	if x.in.AltSvc != nil && kind != filter.Interim && !hasAltSvc(x.response.Fields) {
		x.response.AddBytes(nameAltSvc, x.in.AltSvc)
	}
}

// ownHead makes the head of lb's own response. It drops the request's body.
func (x *Exchange) ownHead(status int, fields []message.Field, length int64, kind filter.Kind) {
	x.client.DropArrived() // with unread bytes the connection could not be reused
	x.makeHead(status, fields, length, kind)
}

// makeHead makes the head of lb's own response, and leaves the request's body alone.
func (x *Exchange) makeHead(status int, fields []message.Field, length int64, kind filter.Kind) {
	x.beginOwn(status, fields)
	x.response.Length = length
	x.filterResponse(kind)
	x.response.AddBytes(message.NameXRequestID, x.id)
}

// respond sends a whole response and ends the exchange. The body is left out if the method is HEAD.
func (x *Exchange) respond(body []byte) {
	if x.Head() {
		body = nil
	}
	x.respondWhole(body, true)
}

// respondWhole sends the head in x.response and the whole body, and ends the exchange. stable is that of Client.Respond.
func (x *Exchange) respondWhole(body []byte, stable bool) {
	x.giveBack()
	x.finish(x.client.Respond(&x.response, body, stable, true))
}

// finish ends the exchange when everything has been sent.
func (x *Exchange) finish(flushed bool) {
	if flushed {
		x.end()
		return
	}
	x.phase = phaseFlush
	x.wait(0)
}

// ownKind returns the kind of lb's own response with that status, whose Content-Type the route must not change.
func ownKind(status int) filter.Kind {
	if status == http.StatusServiceUnavailable {
		return filter.Outage
	}
	return filter.Typed
}

// Respond responds with a status, fields (including Content-Length) and a body. The body is left out if the method is HEAD. It is not
// copied and must not change afterwards.
func (x *Exchange) Respond(status int, fields []message.Field, body []byte) {
	x.ownHead(status, fields, int64(len(body)), filter.Usual)
	x.respond(body)
}

// Part is a part of a response's body: Bytes, which must not change, followed by Length bytes of File from Offset.
type Part struct {
	Bytes          []byte
	File           *os.File
	Offset, Length int64
}

// RespondParts responds with a body of several parts, and calls done, which may be nil, when they are not needed any more.
// typed says that the Content-Type must not be changed, as it contains the boundary between the parts.
func (x *Exchange) RespondParts(status int, fields []message.Field, length int64, typed bool, parts []Part, done func()) {
	kind := filter.Usual
	if typed {
		kind = ownKind(status)
	}
	x.ownHead(status, fields, length, kind)
	x.partsDone = done
	if len(parts) == 0 {
		parts = make([]Part, 1)
	}
	if len(parts) == 1 && parts[0].Length == 0 || x.Head() {
		x.respond(parts[0].Bytes)
		return
	}
	x.startParts(parts)
}

// startParts sends the head in x.response and the parts of the body.
func (x *Exchange) startParts(parts []Part) {
	x.parts, x.phase = parts, phaseParts
	x.wait(0)
	if x.client.Respond(&x.response, nil, false, false) {
		x.sendParts()
	}
}

// partAtOnce limits how much of a part in memory is sent at once, because a copy is made of what a slow client does not take.
const partAtOnce = 64 << 10

// sendParts sends the next parts of a response.
func (x *Exchange) sendParts() {
	for len(x.parts) > 0 {
		part := &x.parts[0]
		flushed := true
		switch {
		case len(part.Bytes) > 0:
			n := min(len(part.Bytes), partAtOnce)
			flushed = x.client.Send(part.Bytes[:n], false, nil)
			part.Bytes = part.Bytes[n:]
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

// cut aborts the response and ends the exchange.
func (x *Exchange) cut(reason string) {
	x.reason = reason
	x.client.Abort()
	x.end()
}

// Refuse responds with an error: the site's page for the status if there is one, else in the format that the client's Accept field
// prefers, or by grpc-status. On a site with a maintenance page, 502 and 504 become Unavailable.
func (x *Exchange) Refuse(status int, reason string) {
	if (status == http.StatusBadGateway || status == http.StatusGatewayTimeout) && x.site.MaintenancePage != nil && !x.isGRPC() {
		x.Unavailable(reason)
		return
	}
	x.reason = reason
	if status == http.StatusBadRequest {
		x.client.Close()
	}
	if x.isGRPC() {
		x.refuseGRPC(status, reason)
		return
	}
	if page := x.site.ErrorPages[status]; page != nil && !errorpage.PrefersJSON(message.List(x.Request.Fields, message.Accept)) {
		x.own(status, "text/html; charset=utf-8", errorpage.Fill(page, status, x.id))
		return
	}
	body, media := errorpage.Body(message.List(x.Request.Fields, message.Accept), status, reason, x.id)
	x.own(status, media, body)
}

// Fail is Refuse with a cause that is logged and not sent to the client. err may be nil.
func (x *Exchange) Fail(status int, reason string, err error) {
	if err != nil {
		x.cause = ": " + err.Error()
	}
	x.Refuse(status, reason)
}

var outageFields = []message.Field{message.NewField("Retry-After", "5"), message.NewField("Cache-Control", "no-store")}

// Unavailable responds with 503 and Retry-After, and with the site's maintenance page if there is one.
func (x *Exchange) Unavailable(reason string) {
	x.Extra = append(x.Extra, outageFields...)
	if page := x.site.MaintenancePage; page != nil && !x.isGRPC() {
		x.reason = reason
		x.own(http.StatusServiceUnavailable, "text/html; charset=utf-8", errorpage.Fill(page, http.StatusServiceUnavailable, x.id))
		return
	}
	x.Refuse(http.StatusServiceUnavailable, reason)
}

func (x *Exchange) own(status int, media string, body []byte) {
	x.client.DropArrived()
	x.beginOwn(status, nil)
	r := &x.response
	r.Add("Content-Type", media)
	r.SetLength(int64(len(body)))
	x.filterResponse(ownKind(status))
	r.AddBytes(message.NameXRequestID, x.id)
	x.respond(body)
}
