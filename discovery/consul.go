package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/internal/limits"
	"lb/pool"
)

const (
	// consulWait is how long Consul may delay a response without changes. It adds up to a sixteenth.
	consulWait = time.Minute
	// consulTimeout bounds one query, the wait included.
	consulTimeout = consulWait + consulWait/16 + apiTimeout
	// consulGap is the least time from the start of one query to the next.
	consulGap = 500 * time.Millisecond
)

// ConsulOptions say which service's instances are the backends.
type ConsulOptions struct {
	Service string
	Address string // of the agent's HTTP API, "host:port" or "unix:/path"
	Tag     string // that an instance must have; empty: any
	Token   string // sent as X-Consul-Token; empty: none

	Log    hclog.Logger   // nil: no log
	Random func() float64 // from 0 up to but not 1, for the back-off; nil: math/rand/v2
}

// Consul is the discoverer of the instances of a service whose checks pass. It uses blocking queries
// as https://developer.hashicorp.com/consul/api-docs/features/blocking describes them.
type Consul struct {
	options ConsulOptions
	trouble condition
	skipped warnings
	pace    pace
	index   uint64 // of the last response; 0: the next query does not block
}

// NewConsul returns a Consul discoverer. It sends nothing before Run.
func NewConsul(o ConsulOptions) *Consul {
	log := orNull(o.Log)
	return &Consul{
		options: o, trouble: condition{log: log}, skipped: warnings{log: log},
		pace: pace{interval: consulGap, random: o.Random},
	}
}

// Run queries at once and then follows the service; see Discoverer. While the agent is unreachable or responds with
// an error, the last known set stays.
func (c *Consul) Run(ctx context.Context, update func([]pool.Member)) {
	p := publisher{update: update, log: c.trouble.log}
	agent := newAPI("Consul at "+c.options.Address, c.options.Address)
	defer agent.close()
	if c.options.Token != "" {
		agent.header.Set("X-Consul-Token", c.options.Token)
	}
	for {
		start := time.Now()
		members, err := c.ask(ctx, agent)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.fail(err, &p)
			start = time.Now() // it may have failed late
		} else {
			c.pace.failed = 0
			if p.set(members) {
				c.trouble.log.Debug("service listed", "service", c.options.Service, "backends", len(p.last))
			}
			c.trouble.end("Consul reports the service again", "service", c.options.Service, "backends", len(p.last))
		}
		if !sleepUntil(ctx, start.Add(c.pace.delay())) {
			return
		}
	}
}

// fail records a failed query. The next one does not block: the index may not be valid any more.
func (c *Consul) fail(err error, p *publisher) {
	c.pace.failed++
	c.index = 0
	message := fmt.Sprintf("cannot follow service %q: %v; %s", c.options.Service, err, p.inUse())
	var status *statusError
	if errors.As(err, &status) && (status.status == http.StatusForbidden || status.status == http.StatusUnauthorized) {
		message += "; give a token with service:read and node:read in the discover block"
	}
	c.trouble.begin(message, "kept", len(p.last))
}

// instance is the part of an entry of GET /v1/health/service/NAME that is used.
type instance struct {
	Node struct {
		Address string
	}
	Service struct {
		ID      string
		Address string
		Port    int
		Weights struct {
			Passing int
		}
	}
}

// ask makes one query, which blocks until there are changes.
func (c *Consul) ask(ctx context.Context, agent *api) ([]pool.Member, error) {
	ctx, cancel := context.WithTimeout(ctx, consulTimeout)
	defer cancel()
	query := url.Values{"passing": {"1"}}
	if c.options.Tag != "" {
		query.Set("tag", c.options.Tag)
	}
	if c.index > 0 {
		query.Set("index", strconv.FormatUint(c.index, 10))
		query.Set("wait", strconv.Itoa(int(consulWait.Seconds()))+"s")
	}
	var instances []instance
	header, err := agent.read(ctx, "/v1/health/service/"+url.PathEscape(c.options.Service), query, &instances)
	if err != nil {
		return nil, err
	}
	if len(instances) == 0 {
		if err := c.mayNotSee(header); err != nil {
			return nil, err
		}
	}
	index, err := strconv.ParseUint(header.Get("X-Consul-Index"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s sent no valid X-Consul-Index", agent.what)
	}
	c.index = nextIndex(c.index, index)
	return c.members(instances), nil
}

// mayNotSee returns an error if access rules may be the reason for an empty list. With a token Consul reports that;
// without one it only reports that everything not allowed by a rule is denied. Stricter rules of an agent must not
// empty a pool.
func (c *Consul) mayNotSee(header http.Header) error {
	const remedy = "give one with service:read and node:read in the discover block"
	switch {
	case header.Get("X-Consul-Results-Filtered-By-Acls") == "true":
		return errors.New("the token may not see its instances; " + remedy)
	case c.options.Token == "" && header.Get("X-Consul-Default-Acl-Policy") == "deny":
		return errors.New("Consul shows no instance without a token; " + remedy)
	}
	return nil
}

// nextIndex returns the index for the next query. An index that decreased, as after a snapshot was restored, is
// dropped; 0, which would not block, counts as 1.
func nextIndex(last, got uint64) uint64 {
	if got < last {
		return 0
	}
	return max(got, 1)
}

// members returns a member for each instance.
func (c *Consul) members(instances []instance) []pool.Member {
	members := []pool.Member{}
	seen := make(map[string]bool)
	for i := range instances {
		n := &instances[i]
		host := n.Service.Address
		if host == "" {
			host = n.Node.Address
		}
		address, problem := addressOf(host, n.Service.Port)
		if problem != "" {
			c.skipped.add(fmt.Sprintf("instance %q of service %q is skipped: %s", n.Service.ID, c.options.Service, problem))
			continue
		}
		if seen[address] {
			continue
		}
		seen[address] = true
		weight := min(max(n.Service.Weights.Passing, 1), limits.MaxWeight)
		members = append(members, pool.Member{Address: address, Weight: weight})
	}
	c.skipped.end()
	return members
}
