package discovery

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/pool"
)

const (
	// retryEngine is the wait after the first failure in a row; see pace.
	retryEngine = 500 * time.Millisecond
	// listGap is the least time between two lists: a burst of events costs one.
	listGap = 100 * time.Millisecond
	// resync is how often the containers are listed without an event, in case one was lost.
	resync = 30 * time.Second
	// maxEvent bounds the bytes of one event.
	maxEvent = 1 << 20
)

// DockerOptions say which containers are the backends.
type DockerOptions struct {
	Label  string // "name" or "name=value"
	Port   int    // of every container; 0: the only TCP port that it exposes
	Socket string // the engine's, a path

	Log    hclog.Logger          // nil: no log
	Random func() float64        // from 0 up to but not 1, for the back-off; nil: math/rand/v2
	Local  func() []netip.Prefix // the networks of this machine; nil: as the system tells
}

// Docker is the discoverer of the running containers with a label. One whose health check, if it has any,
// does not pass is left out.
type Docker struct {
	options DockerOptions
	trouble condition
	skipped complaints
	pace    pace
}

// NewDocker makes a Docker discoverer. It asks nothing before Run.
func NewDocker(o DockerOptions) *Docker {
	if o.Local == nil {
		o.Local = localNetworks
	}
	log := orNull(o.Log)
	return &Docker{
		options: o, trouble: condition{log: log}, skipped: complaints{log: log},
		pace: pace{interval: retryEngine, random: o.Random},
	}
}

// Run lists the containers and then follows the engine's events; see Discoverer. While the engine is away
// the last known set holds.
func (d *Docker) Run(ctx context.Context, update func([]pool.Member)) {
	p := publisher{update: update, log: d.trouble.log}
	engine := newAPI("the Docker engine", "unix:"+d.options.Socket)
	defer engine.close()
	for {
		start := time.Now()
		err := d.follow(ctx, engine, &p)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > maxBackoff { // it went well for a while
			d.pace.failed = 0
		}
		d.pace.failed++
		d.trouble.begin(fmt.Sprintf("cannot follow the containers with label %q: %v; %s", d.options.Label, err, p.fate()),
			"socket", d.options.Socket, "kept", len(p.last))
		if !sleepUntil(ctx, time.Now().Add(d.pace.delay())) {
			return
		}
	}
}

// follow lists the containers and lists them again whenever an event may have changed them, until something
// fails. The stream of events begins before the first list, so that no change falls in between.
func (d *Docker) follow(ctx context.Context, engine *api, p *publisher) error {
	ctx, cancel := context.WithCancel(ctx)
	since := time.Now()
	if err := d.list(ctx, engine, p); err != nil {
		cancel()
		return err
	}
	events := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() { ended <- d.listen(ctx, engine, since, events) }()
	err := d.relist(ctx, engine, p, events, ended)
	cancel()
	if err == nil {
		return <-ended
	}
	<-ended
	return err
}

// relist lists the containers after events and now and then, until a list fails or, with a nil error, the
// stream of events has ended.
func (d *Docker) relist(ctx context.Context, engine *api, p *publisher, events <-chan struct{}, ended chan error) error {
	tick := time.NewTicker(resync)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err
			return nil
		case <-events:
		case <-tick.C:
		}
		if !sleepUntil(ctx, time.Now().Add(listGap)) {
			return ctx.Err()
		}
		select {
		case <-events: // came before this list, which shows its effect
		default:
		}
		if err := d.list(ctx, engine, p); err != nil {
			return err
		}
	}
}

// list asks for the containers and publishes them.
func (d *Docker) list(ctx context.Context, engine *api, p *publisher) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	filters := filtersOf(map[string][]string{"label": {d.options.Label}, "status": {"running"}})
	var containers []container
	if _, err := engine.read(ctx, "/containers/json", url.Values{"filters": {filters}}, &containers); err != nil {
		return err
	}
	if p.set(d.members(containers)) {
		d.trouble.log.Debug("containers listed", "label", d.options.Label, "backends", len(p.last))
	}
	return nil
}

// followed is the kinds of events that can change a list.
func followed() map[string][]string {
	return map[string][]string{
		"type":  {"container", "network"},
		"event": {"start", "die", "pause", "unpause", "health_status", "connect", "disconnect"},
	}
}

// filtersOf words filters as the engine's API wants them.
func filtersOf(filters map[string][]string) string {
	text, _ := json.Marshal(filters) // strings alone: cannot fail
	return string(text)
}

// listen reads the engine's events from a moment on, and notes in events that there was one that matters.
// The stream is silent for as long as nothing happens, so that the wait for the next has no bound.
func (d *Docker) listen(ctx context.Context, engine *api, since time.Time, events chan<- struct{}) error {
	filters := filtersOf(followed())
	from := fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
	response, err := engine.open(ctx, "/events", url.Values{"since": {from}, "filters": {filters}})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	d.trouble.end("the containers are followed again", "label", d.options.Label)
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("an event of %s cannot be read: %w", engine.what, err)
		}
		if !e.matters(d.options.Label) {
			continue
		}
		select {
		case events <- struct{}{}:
		default:
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("cannot read the events of %s: %s", engine.what, cause(err))
	}
	return errors.New("the Docker engine ended the event stream")
}

// event is what counts here of one event.
type event struct {
	Type  string
	Actor struct {
		Attributes map[string]string // of a container's: its labels too
	}
}

// matters tells whether the event may change the list. Of a network's it cannot be told, since they do not
// bear the container's labels.
func (e *event) matters(label string) bool {
	if e.Type != "container" {
		return true
	}
	name, value, hasValue := strings.Cut(label, "=")
	got, has := e.Actor.Attributes[name]
	return has && (!hasValue || got == value)
}
