package transport

import (
	"lb/message"
	"lb/netloop"
)

// Exchange is the backend's side of one exchange: a Conn, or a Stream of a connection that several exchanges share. Its methods are called
// on the loop and do not block: reads return netloop.ErrWouldBlock, upon which User.ResponseReady follows.
type Exchange interface {
	// Begin sends the head of a request and the first piece of its body. With last set the piece is the whole rest of the body, and the
	// trailer fields are sent after it. The piece is copied. Begin reports whether everything was written; if not, User.RequestFlushed
	// follows.
	Begin(r *message.Request, piece []byte, last bool, trailers []message.Field) (flushed bool)
	// SendBody sends the next piece of the request's body in the same way. It also returns true if the backend accepts no more of it; a read
	// then returns the response or the error.
	SendBody(piece []byte, last bool, trailers []message.Field) (flushed bool)
	// Pending reports whether some of what was sent has not been written yet.
	Pending() bool

	// ReadHead reads the head of the next response, see Response. toHead says that the request method is HEAD.
	ReadHead(toHead bool) error
	// Head returns the head that ReadHead read last, valid until the current event has been handled or ReadBody is called a second time.
	Head() *message.Response
	// ReadBody returns the next piece of the body, valid until the next call or until the current event has been handled. The last piece
	// may come together with io.EOF.
	ReadBody() ([]byte, error)
	// BodyLength returns how many bytes of the body have not been read yet, -1 if that is not known.
	BodyLength() int64
	// Trailer returns the trailer fields of a body that has been read to its end, nil if there are none.
	Trailer() []message.Field
	// Keep must be called at the end of each event in which not everything was read.
	Keep()
	// Yield has User.ResponseReady called again after the other connections of the loop have had their turn.
	Yield()

	// Tunnel ends the use of HTTP after a 101 and returns the stream of bytes, and what was received after the 101.
	Tunnel() (stream netloop.Stream, unread []byte)
	// Timeouts returns the timeouts of the backend, TimedOut the error of a wait that exceeded one.
	Timeouts() *Timeouts
	TimedOut(phase Phase) *Error
	// Abort resets a tunnel, so that the backend cannot mistake what it received for a complete message.
	Abort()
	// Done ends the exchange. complete says that the whole request was sent.
	Done(complete bool)
}

// Exchange returns the backend's side of an exchange. If it is not ready, User.Dialed is called later. fresh says that an idle connection
// must not be used, since it may have been closed by the backend; it does not apply to HTTP/2, whose backends say what they have not
// processed when they close a connection.
func (c *Client) Exchange(l *netloop.Loop, user User, fresh bool) (x Exchange, ready bool) {
	if c.limits != nil {
		return c.stream(l, user)
	}
	return c.Get(l, user, fresh)
}
