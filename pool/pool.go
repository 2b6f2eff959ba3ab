package pool

import (
	"context"
	"errors"
)

// Picker chooses a backend from the fixed set it was made from, and reserves it in the
// same step (Backend.Reserve). It returns nil if none has room. It never blocks or allocates.
type Picker interface {
	Pick() *Backend
}

// The reasons why Pick has no backend.
var (
	ErrNoBackend = errors.New("no usable backend")
	ErrFull      = errors.New("every usable backend is at max_conns")
)

// Pool is a named set of backends. One Pool object lives as long as its name stays in the configuration.
type Pool struct{}

// Pick reserves a backend that is not in tried, unless only tried ones are left.
// The caller must Release it. The context bounds the wait in the queue only.
func (p *Pool) Pick(ctx context.Context, tried []*Backend) (*Backend, error) { panic("todo") }
