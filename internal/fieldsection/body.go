package fieldsection

import "errors"

// What reading a request body can fail with, beside netloop.ErrWouldBlock and io.EOF at its end.
var (
	ErrBodyTooLarge       = errors.New("request body over the limit")                    // respond with 413
	ErrBodyTimeout        = errors.New("request body stalled")                           // respond with 408
	ErrTrailerFields      = errors.New("more trailer fields than allowed")               // respond with 431
	ErrMalformed          = errors.New("the request is malformed")                       // the stream was reset
	ErrCancelled          = errors.New("client cancelled the request")                   // no response is possible
	ErrClientDisconnected = errors.New("client closed the connection within a request")  // likewise
	ErrSlowClient         = errors.New("client took too little of the response in time") // likewise
)
