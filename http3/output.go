package http3

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/quic-go/quic-go"

	"lb/internal/pace"
	"lb/netloop"
)

// output is what is being sent of a stream.
type output struct {
	queued int    // bytes that were handed over since the last job
	busy   bool   // a job is being done
	size   int    // bytes of the job, without a file
	jobs   []job  // that follow it
	room   []byte // for the copy of a piece
	tempo  pace.Pace
	err    error // of the last job
}

// job is what is sent by a goroutine, which waits for the client: frames, a piece or a part of a file, and frames.
type job struct {
	lead   []byte
	piece  []byte
	file   *os.File
	offset int64
	left   int64
	trail  []byte
}

// copy returns a copy of a piece, in the room for it unless a job uses that.
func (o *output) copy(piece []byte) []byte {
	if o.busy {
		return append([]byte(nil), piece...)
	}
	o.room = append(o.room[:0], piece...)
	return o.room
}

// start has a job done, after those that have been started.
func (s *Stream) start(j job) {
	if o := &s.out; o.busy {
		o.jobs = append(o.jobs, j)
		return
	}
	s.out.busy, s.out.size = true, len(j.lead)+len(j.piece)+len(j.trail)
	s.conn.running.Go(func() {
		s.out.err = s.conn.guard(func() error { return s.do(&j) })
		s.conn.worker.Loop.Post((*written)(s))
	})
}

// written is a Stream as the task after a job.
type written Stream

func (t *written) Run() {
	s := (*Stream)(t)
	o := &s.out
	o.busy, o.queued = false, 0
	switch {
	case s.aborted || s.done:
		return
	case errors.Is(o.err, os.ErrDeadlineExceeded):
		s.fail(codeExcessiveLoad, ErrSlowClient)
		return
	case o.err != nil:
		s.failed(o.err)
		return
	case len(o.jobs) > 0:
		next := o.jobs[0]
		o.jobs = o.jobs[1:]
		s.start(next)
		return
	}
	s.close()
	switch {
	case s.Exchange == nil:
	case s.tunnel != nil:
		s.tunnel.upgraded.ClientReady(netloop.Writable)
	default:
		s.Exchange.Flushed()
	}
}

// failed ends a stream to which nothing can be written.
func (s *Stream) failed(err error) {
	var reset *quic.StreamError
	switch {
	case s.conn.quic.Context().Err() != nil:
		s.fail(codeNone, ErrClientDisconnected)
	case errors.As(err, &reset):
		s.conn.spendReset()
		s.fail(codeRequestCancelled, ErrCancelled)
	default: // a file that cannot be read
		s.fail(codeInternal, err)
	}
}

// fileStep is how many bytes of a file are read at once.
const fileStep = 64 << 10

// do does a job. It returns when all but the last bytes are on their way.
func (s *Stream) do(j *job) error {
	if err := s.wait(j.lead); err != nil {
		return err
	}
	if err := s.wait(j.piece); err != nil {
		return err
	}
	if j.left > 0 {
		room := make([]byte, min(fileStep, j.left))
		for j.left > 0 {
			n, err := j.file.ReadAt(room[:min(int64(len(room)), j.left)], j.offset)
			if n == 0 {
				if err == nil || err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
			if err := s.wait(room[:n]); err != nil {
				return err
			}
			j.offset += int64(n)
			j.left -= int64(n)
		}
	}
	return s.wait(j.trail)
}

// wait sends p, and waits until the client has room for it. It fails when the client takes nothing for too long, or too little.
func (s *Stream) wait(p []byte) error {
	limits := &s.conn.settings.Limits
	for len(p) > 0 {
		began := time.Now()
		_ = s.quic.SetWriteDeadline(s.bodyDeadline(began))
		n, err := s.quic.Write(p)
		p = p[n:]
		if errors.Is(err, os.ErrDeadlineExceeded) && n > 0 {
			err = nil // some of it was taken
		}
		if err == nil && !s.body.tunnel && !s.out.tempo.Moved(limits.BodyMinRate, limits.RateWindow, n, time.Since(began)) {
			err = os.ErrDeadlineExceeded
		}
		if err != nil {
			return err
		}
	}
	return nil
}
