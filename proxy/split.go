package proxy

import "math/rand/v2"

// Split distributes requests over several pools by weight, for example to a canary. At least one share must be added before it serves.
type Split struct {
	total  uint64
	shares []share
}

type share struct {
	upto    uint64 // the sum of the weights so far
	forward *Forward
}

// Add adds f with a weight; 0 means no requests.
func (s *Split) Add(weight int, f *Forward) {
	if weight <= 0 {
		return
	}
	s.total += uint64(weight)
	s.shares = append(s.shares, share{s.total, f})
}

// Serve implements Action. A client whose sticky cookie names a backend of one of the pools goes to that pool.
func (s *Split) Serve(x *Exchange) {
	for i := range s.shares {
		f := s.shares[i].forward
		if own := f.Sticky.of(x); len(own) > 0 && f.Pool.Knows(own) {
			f.Serve(x)
			return
		}
	}
	n := rand.Uint64N(s.total)
	for i := range s.shares {
		if n < s.shares[i].upto {
			s.shares[i].forward.Serve(x)
			return
		}
	}
}
