package balancer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lb/pool"
)

// warming calls test with a pool of these weights, at each step of the slow start of its first backend.
func warming(t *testing.T, balance string, weights []int, test func(p *pool.Pool, tenths int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(5, 6))
		a, err := Lookup(balance)
		if err != nil {
			t.Fatal(err)
		}
		// The bubble's clock stands still during picks, and hash counts the requests in flight by time.
		var now atomic.Int64
		clock := func() int64 { return now.Add(int64(10 * time.Microsecond)) }
		o := pool.Options{NewPicker: a.WithRandom(random.Uint64), SlowStart: 9 * time.Second, Clock: clock}
		for i, w := range weights {
			o.Members = append(o.Members, pool.Member{Address: fmt.Sprintf("10.0.0.%d:80", i), Weight: w})
		}
		p := pool.New(o)
		ctx, cancel := context.WithCancel(t.Context())
		p.Start(ctx)
		defer p.Wait()
		defer cancel()
		p.SetAdmin(p.Backends()[0], pool.Drain, "test")
		p.SetAdmin(p.Backends()[0], pool.Ready, "test")
		for tenths := 1; tenths <= 10; tenths++ {
			synctest.Wait()
			if got := p.Backends()[0].Tenths(); got != tenths {
				t.Fatalf("%d tenths, want %d", got, tenths)
			}
			test(p, tenths)
			time.Sleep(time.Second)
		}
	})
}

// TestSlowStartShares: at each step, the backend that came back gets the share that its tenths say, of the requests and, since
// these are alike, of those in flight. With hash it has that share of its keys.
func TestSlowStartShares(t *testing.T) {
	const inFlight, requests = 240, 12_000
	for _, balance := range []string{"round_robin", "random", "least_conn", "p2c", "peak_ewma", "hash"} {
		for _, weights := range [][]int{{1, 1, 2, 1}} {
			t.Run(fmt.Sprint(balance, weights), func(t *testing.T) {
				random := rand.New(rand.NewPCG(7, 8))
				others := 0
				for _, w := range weights[1:] {
					others += w
				}
				warming(t, balance, weights, func(p *pool.Pool, tenths int) {
					first := p.Backends()[0]
					var held []*pool.Backend
					asked, counted := 0, 0
					for n := range requests {
						b, err := p.Pick(t.Context(), random.Uint64(), nil)
						if err != nil {
							t.Fatal(err)
						}
						if n > 10*inFlight { // the numbers have settled
							counted++
							if b == first {
								asked++
							}
						}
						held = append(held, b)
						if len(held) == inFlight {
							i := random.IntN(inFlight)
							held[i].Observe(0, time.Millisecond)
							held[i].Release()
							held[i] = held[inFlight-1]
							held = held[:inFlight-1]
						}
					}
					for _, b := range held {
						b.Release()
					}
					weight := float64(weights[0]*tenths) / 10
					want := weight / (weight + float64(others))
					if balance == "hash" {
						want = weight / float64(weights[0]+others)
					}
					got := float64(asked) / float64(counted)
					if math.Abs(got-want) > 0.01+0.12*want {
						t.Errorf("%d tenths: %.3f of the requests, want about %.3f", tenths, got, want)
					}
				})
			})
		}
	}
}

// TestSlowStartHashMovesKeysOnce: the keys of the backend that came back return to it, each once, and no other keys move.
func TestSlowStartHashMovesKeysOnce(t *testing.T) {
	const keys = 20_000
	var was [keys]*pool.Backend
	var final [keys]bool // belongs to the first backend in the end
	random := rand.New(rand.NewPCG(9, 10))
	var key [keys]uint64
	for i := range key {
		key[i] = random.Uint64()
	}
	warming(t, "hash", []int{1, 1, 1, 1}, func(p *pool.Pool, tenths int) {
		first := p.Backends()[0]
		back := 0
		for i := range key {
			b, err := p.Pick(t.Context(), key[i], nil)
			if err != nil {
				t.Fatal(err)
			}
			b.Release()
			if b == first {
				back++
				final[i] = true
			} else if final[i] {
				t.Fatalf("%d tenths: key %d went away again", tenths, i)
			}
			if tenths > 1 && b != was[i] && b != first {
				t.Fatalf("%d tenths: key %d moved from %s to %s", tenths, i, was[i].Address(), b.Address())
			}
			was[i] = b
		}
		want := float64(keys) / 4 * float64(tenths) / 10
		if math.Abs(float64(back)-want) > 0.1*want+50 {
			t.Errorf("%d tenths: %d keys are back, want about %.0f", tenths, back, want)
		}
	})
}
