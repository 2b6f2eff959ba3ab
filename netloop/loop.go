package netloop

import (
	"context"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// States of a loop, for Post.
const (
	awake  = iota // the loop checks for tasks before it sleeps
	posted        // awake, and there are tasks
	asleep        // Post must wake the loop
)

// A Loop is a goroutine with the sockets, timers and buffers that belong to it.
type Loop struct {
	set    *Loops
	index  int
	driver driver

	clock  int64     // the time of this batch, in nanoseconds since epoch
	known  time.Time // the wall clock's time, read once a second
	read   int64     // when it was read, on the clock
	worked int64     // when the last batch began, from which the delay of this one is computed

	table      []*Socket // by slot
	free       []uint32  // slots without a socket
	generation uint32    // counts registrations; distinguishes a socket from an earlier one in the same slot
	sockets    int       // in the table, without the loop's own

	timers  timerHeap
	buffers buffers
	scratch []byte
	later   []Task
	again   []registration
	spare   struct { // emptied slices of posted tasks, of later and of again
		posted, later []Task
		again         []registration
	}

	mail struct {
		sync.Mutex
		tasks  []Task
		since  int64 // when the first of them came, on the clock
		closed bool
	}
	state atomic.Int32 // awake, posted or asleep

	workers  int // goroutines started by Go, and handshakes
	stopping bool

	open  atomic.Int64 // accepted connections that belong to this loop, or will
	taken atomic.Int64 // accepted connections that this loop has got so far

	count  counts
	public [len(counts{})]atomic.Int64
}

// registration identifies a socket while it is open. A pointer would not do for what completes later: the struct may then be used for
// another connection, even on another loop.
type registration struct {
	slot, generation uint32
}

// epoch is the zero of the loops' clocks.
var epoch = time.Now()

// never is later than every deadline.
const never = math.MaxInt64

// Index returns the loop's index in Loops.All.
func (l *Loop) Index() int { return l.index }

// Now returns the time at which the current batch of events began.
func (l *Loop) Now() time.Time { return l.known.Add(time.Duration(l.clock - l.read)) }

// Context returns a context that ends when the loop has to stop.
func (l *Loop) Context() context.Context { return l.set.ctx }

func (l *Loop) tick() {
	l.clock = int64(time.Since(epoch))
	if l.clock-l.read >= int64(time.Second) || l.read == 0 {
		l.known = time.Now()
		l.read = l.clock
	}
}

// Post runs the task on the loop. It may be called from any goroutine. It returns false if the loop has stopped and the task will not
// run.
func (l *Loop) Post(task Task) bool {
	m := &l.mail
	m.Lock()
	if m.closed {
		m.Unlock()
		return false
	}
	if len(m.tasks) == 0 {
		m.since = int64(time.Since(epoch))
	}
	m.tasks = append(m.tasks, task)
	wake := l.state.Swap(posted) == asleep
	m.Unlock()
	if wake {
		l.driver.wake()
	}
	return true
}

// Later runs the task after the events and tasks of this batch. It must be called on the loop.
func (l *Loop) Later(task Task) { l.later = append(l.later, task) }

// Go runs work, which may block, in a new goroutine, and then done on the loop. The context ends when the loop has to stop; the loop
// waits for work even then, and runs done.
func (l *Loop) Go(work func(context.Context), done Task) {
	w := &worker{loop: l, work: work, done: done}
	l.workers++
	l.set.running.Add(1)
	go w.begin()
}

type worker struct {
	loop *Loop
	work func(context.Context)
	done Task
}

func (w *worker) begin() {
	defer w.loop.set.running.Done()
	w.work(w.loop.set.ctx)
	w.loop.Post(w)
}

func (w *worker) Run() {
	w.loop.workers--
	w.done.Run()
}

// batch handles n events, the expired timers and the tasks.
func (l *Loop) batch(n int) {
	woke := l.driver.slept
	l.driver.slept = false
	l.tick()
	delay := int64(0)
	if !woke && n > 0 {
		delay = l.clock - l.worked // they may have been ready since the last batch was fetched
	}
	l.worked = l.clock
	l.driver.dispatch(n)
	if late := l.timers.run(l); late > delay {
		delay = late
	}
	if waited := l.runPosted(); waited > delay {
		delay = waited
	}
	l.runLater()
	l.count[batches]++
	l.publish()
	if l.set.options.Delay != nil {
		l.set.options.Delay(l.index, time.Duration(delay))
	}
}

// runPosted runs the posted tasks and returns how long the first of them waited.
func (l *Loop) runPosted() int64 {
	if l.state.Load() != posted {
		return 0
	}
	m := &l.mail
	m.Lock()
	tasks, since := m.tasks, m.since
	m.tasks, l.spare.posted = l.spare.posted, nil
	l.state.Store(awake)
	m.Unlock()
	for _, task := range tasks {
		l.runTask(task)
	}
	l.count[tasksRun] += int64(len(tasks))
	l.spare.posted = emptied(tasks)
	return l.clock - since
}

func (l *Loop) runLater() {
	if len(l.later) > 0 {
		tasks := l.later
		l.later = l.spare.later
		for _, task := range tasks {
			l.runTask(task)
		}
		l.count[tasksRun] += int64(len(tasks))
		l.spare.later = emptied(tasks)
	}
	if len(l.again) > 0 {
		entries := l.again
		l.again = l.spare.again
		for _, e := range entries {
			if s := l.find(e); s != nil {
				s.resume()
			}
		}
		l.spare.again = emptied(entries)
	}
}

func (l *Loop) runTask(task Task) {
	if l.set.options.Panicked != nil {
		defer func() { l.recovered(recover()) }()
	}
	task.Run()
}

// recovered reports a panic, if there was one.
func (l *Loop) recovered(value any) bool {
	if value == nil {
		return false
	}
	l.set.options.Panicked(value, debug.Stack())
	return true
}

// emptied returns the slice, emptied for reuse, or nil if it is large.
func emptied[T any](s []T) []T {
	if cap(s) > 4096 {
		return nil
	}
	clear(s)
	return s[:0]
}

// restless reports whether there is something to do before the loop may sleep.
func (l *Loop) restless() bool { return len(l.later) > 0 || len(l.again) > 0 }

// sleep reports whether the loop may sleep now, because nothing was posted since the last batch. If so, Post will wake it.
func (l *Loop) sleep() bool { return !l.restless() && l.state.CompareAndSwap(awake, asleep) }

// rise ends a sleep.
func (l *Loop) rise() {
	l.driver.slept = true
	l.state.CompareAndSwap(asleep, awake)
}

// register assigns a slot and a generation to the socket. Its events carry both.
func (l *Loop) register(s *Socket) {
	if n := len(l.free); n > 0 {
		s.slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		s.slot = uint32(len(l.table))
		l.table = append(l.table, nil)
	}
	l.table[s.slot] = s
	l.generation++
	if l.generation == 0 {
		l.generation = 1 // 0 means a closed socket
	}
	s.generation = l.generation
	l.sockets++
	if s.flags&raw == 0 {
		l.count[opened]++
	}
}

// find returns the socket, or nil if it was closed.
func (l *Loop) find(r registration) *Socket {
	if s := l.table[r.slot]; s != nil && s.generation == r.generation {
		return s
	}
	return nil
}

func (l *Loop) unregister(s *Socket) {
	l.table[s.slot] = nil
	l.free = append(l.free, s.slot)
	s.generation = 0
	l.sockets--
	if s.flags&raw == 0 {
		l.count[closed]++
	}
	if s.flags&accepted != 0 {
		l.open.Add(-1)
	}
}

// stop fails every socket. The loop ends when the last goroutine that it waits for has ended.
func (l *Loop) stop() {
	if l.stopping {
		return
	}
	l.stopping = true
	for _, s := range l.table {
		if s != nil {
			s.fail(ErrStopped)
		}
	}
}

// ended reports whether the loop has nothing more to do. If so, Post returns false from then on.
func (l *Loop) ended() bool {
	if !l.stopping || l.workers > 0 || l.sockets > 0 || l.restless() {
		return false
	}
	m := &l.mail
	m.Lock()
	defer m.Unlock()
	m.closed = len(m.tasks) == 0
	return m.closed
}
