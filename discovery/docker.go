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
	// listGap is the least time between two lists, so that a burst of events causes only one.
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
	Local  func() []netip.Prefix // the networks of this machine; nil: those that the system reports
}

// Docker is the discoverer of the running containers with a label. A container whose health check, if it has one,
// does not pass is left out.
type Docker struct {
	options DockerOptions
	trouble condition
	skipped warnings
	pace    pace
}

// NewDocker returns a Docker discoverer. It sends nothing before Run.
func NewDocker(o DockerOptions) *Docker {
	if o.Local == nil {
		o.Local = localNetworks
	}
	log := orNull(o.Log)
	return &Docker{
		options: o, trouble: condition{log: log}, skipped: warnings{log: log},
		pace: pace{interval: retryEngine, random: o.Random},
	}
}

// Run lists the containers and then follows the engine's events; see Discoverer. While the engine is unreachable the
// last known set stays.
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
		if time.Since(start) > maxBackoff { // it worked for a while
			d.pace.failed = 0
		}
		d.pace.failed++
		d.trouble.begin(fmt.Sprintf("cannot follow the containers with label %q: %v; %s", d.options.Label, err, p.inUse()),
			"socket", d.options.Socket, "kept", len(p.last))
		if !sleepUntil(ctx, time.Now().Add(d.pace.delay())) {
			return
		}
	}
}

// follow lists the containers, and again whenever an event may have changed them, until something fails. The stream
// of events begins before the first list, so that no change is missed.
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

// relist lists the containers after events and at intervals, until a list fails or, with a nil error, the stream of
// events has ended.
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
		case <-events: // from before this list, which includes its effect
		default:
		}
		if err := d.list(ctx, engine, p); err != nil {
			return err
		}
	}
}

// list requests the containers and publishes them.
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

// followed returns the kinds of events that can change a list.
func followed() map[string][]string {
	return map[string][]string{
		"type":  {"container", "network"},
		"event": {"start", "die", "pause", "unpause", "health_status", "connect", "disconnect"},
	}
}

// filtersOf encodes filters for the engine's API.
func filtersOf(filters map[string][]string) string {
	text, _ := json.Marshal(filters) // strings alone: cannot fail
	return string(text)
}

// listen reads the engine's events from a time on, and signals relevant ones. The stream is silent while nothing
// happens, so there is no timeout for the next event.
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

// event is the part of an event that is used.
type event struct {
	Type  string
	Actor struct {
		Attributes map[string]string // of a container's: its labels too
	}
}

// matters reports whether the event may change the list. An event of a network always may, since it does not have the
// container's labels.
func (e *event) matters(label string) bool {
	if e.Type != "container" {
		return true
	}
	name, value, hasValue := strings.Cut(label, "=")
	got, has := e.Actor.Attributes[name]
	return has && (!hasValue || got == value)
}
