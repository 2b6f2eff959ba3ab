// Package balancer has the algorithms that choose among the usable backends of a pool.
package balancer

import "lb/pool"

// Names returns the names that New knows.
func Names() []string {
	return []string{"round_robin", "least_conn", "p2c", "random", "first"}
}

// New returns the picker of that name over a fixed set of backends. The seed is where a rotation or
// a sequence of random numbers starts. The error names an algorithm that does not exist.
func New(name string, backends []*pool.Backend, seed uint64) (pool.Picker, error) { panic("todo") }

// Factory returns what pool.Options.NewPicker wants; the error is that of New.
func Factory(name string) (func([]*pool.Backend, uint64) pool.Picker, error) { panic("todo") }
