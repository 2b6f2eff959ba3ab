package balancer

import "lb/pool"

// first takes the backends in their order: the next one only while those before it are full.
type first []*pool.Backend

func newFirst(backends []*pool.Backend, _ uint64, _ source) pool.Picker { return first(backends) }

// Pick implements pool.Picker.
func (f first) Pick(uint64) *pool.Backend { return scan(f, 0) }

// Prefer implements pool.Predictable.
func (f first) Prefer(uint64) (now, own *pool.Backend) {
	for _, b := range f {
		if _, room := b.Load(); room {
			return b, f[0]
		}
	}
	return nil, f[0]
}
