package balancer_test

import (
	"testing"

	"lb/balancer"
	"lb/pool"
)

// TestPrefer: Prefer predicts the next pick and reserves nothing. It names the key's own backend even if another one has to take
// the request.
func TestPrefer(t *testing.T) {
	for _, name := range []string{"hash", "first"} {
		var backends []*pool.Backend
		for _, address := range []string{"a:1", "b:1", "c:1"} {
			backends = append(backends, pool.NewBackend(pool.Member{Address: address, MaxConns: 2}))
		}
		a, err := balancer.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		picker, ok := a.NewPicker(backends, 0).(pool.Predictable)
		if !ok {
			t.Fatalf("%s cannot be predicted", name)
		}
		key := uint64(0x1234567890abcdef)
		_, own := picker.Prefer(key)
		for i := range 6 {
			now, still := picker.Prefer(key)
			if still != own {
				t.Errorf("%s: the key went over to %s", name, still.Address())
			}
			before := now.InFlight()
			if got := picker.Pick(key); got != now || got.InFlight() != before+1 {
				t.Errorf("%s: pick %d is %s, predicted was %s", name, i, got.Address(), now.Address())
			}
		}
		if now, _ := picker.Prefer(key); now != nil || picker.Pick(key) != nil {
			t.Errorf("%s: all are full, and yet %v", name, now)
		}
	}
}
