package server

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lb/pool"
)

// ordersWanted is what a new process writes to Ready when it is about to serve. The process before takes no orders of
// backends from then on.
const ordersWanted = 'o'

// tellOrders writes what was ordered of the backends at run time, and has later orders wait until it is known which
// process they are for. It closes w.
func (s *Server) tellOrders(w *os.File) error {
	defer w.Close()
	s.ordering.Lock()
	s.ordersHeld = true
	orders := map[string]map[string]pool.Order{}
	for name, run := range s.current.Load().pools {
		orders[name] = run.pool.Orders()
	}
	_ = w.SetWriteDeadline(time.Now().Add(handoverTime))
	return json.NewEncoder(w).Encode(orders)
}

func (s *Server) resumeOrders() {
	if s.ordersHeld {
		s.ordersHeld = false
		s.ordering.Unlock()
	}
}

// order carries out an order of backends, if it is this process that they are for.
func (s *Server) order(do func()) error {
	s.ordering.RLock()
	defer s.ordering.RUnlock()
	if s.handedOver.Load() {
		return fmt.Errorf("%w: send it again", errHandedOver)
	}
	do()
	return nil
}

// takeOrders has the pools obey what the process before was told of their backends.
func (s *Server) takeOrders() {
	h := s.taken
	if h == nil || h.Orders == 0 {
		return
	}
	r := os.NewFile(uintptr(h.Orders), "orders")
	defer r.Close()
	var orders map[string]map[string]pool.Order
	_, err := unix.Write(h.Ready, []byte{ordersWanted})
	if err == nil {
		err = json.NewDecoder(r).Decode(&orders)
	}
	if err != nil { // there may be no other process any more
		s.log.Error("cannot take over what was ordered of the backends", "error", err)
	}
	for name, run := range s.current.Load().pools {
		run.pool.Obey(orders[name], "handed over")
	}
}
