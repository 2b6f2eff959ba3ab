package exchange

import "math/rand/v2"

// Split shares requests out by weight, as to a canary. The zero value must not serve.
type Split struct {
	total  uint64
	shares []share
}

type share struct {
	upto    uint64 // the sum of the weights so far
	forward *Forward
}

// Add gives f a share of that weight; one of 0 gets nothing.
func (s *Split) Add(weight int, f *Forward) {
	if weight <= 0 {
		return
	}
	s.total += uint64(weight)
	s.shares = append(s.shares, share{s.total, f})
}

// Serve implements Action. A client that has a backend in one of the pools, by a sticky cookie, stays there.
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
