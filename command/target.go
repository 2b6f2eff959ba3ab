package command

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"lb/config"
	"lb/internal/cli"
)

// The variables of the environment that say where the running balancer is, and where it is if nothing says so.
const (
	adminVariable = "LB_ADMIN"
	tokenVariable = "LB_ADMIN_TOKEN"
)

// target is the running balancer that a command talks to. Address and token are each taken from the first of these that has
// it: a flag, a variable of the environment, the configuration, the built-in default.
type target struct {
	admin, token string // flags; "" if not given
	config       string // the flag; "" for the default places
	hasConfig    bool   // whether the command has that flag
}

// clientFlags adds the flags of commands that talk to a running balancer.
func clientFlags(flags *flag.FlagSet) *target {
	t := addressFlags(flags)
	t.hasConfig = true
	flags.StringVar(&t.config, "config", "", "where the admin listener's address and token are read: a `file`, or a directory of *.hcl files (default ./lb.hcl, then /etc/lb/lb.hcl)")
	return t
}

// addressFlags adds those of them that name no configuration.
func addressFlags(flags *flag.FlagSet) *target {
	t := new(target)
	flags.StringVar(&t.admin, "admin", "", "the `address` of the running balancer's admin listener (default: the variable "+adminVariable+", then the configuration's, then "+config.DefaultAdmin+")")
	flags.StringVar(&t.token, "token", "", "the admin `token` (default: the variable "+tokenVariable+", then the configuration's)")
	return t
}

// client returns a client for the balancer. It warns where the address had to be guessed, and the error says why it could not.
func (t *target) client(s streams) (*cli.Client, error) {
	c := &cli.Client{Remedy: "use -admin ADDR or the variable " + adminVariable}
	if t.hasConfig {
		c.Remedy += ", or -config FILE for the address in another configuration"
	}
	c.Addr, c.From = firstOf(t.admin, "-admin", adminVariable)
	c.Token, c.TokenFrom = firstOf(t.token, "-token", tokenVariable)
	if c.Addr != "" && c.Token != "" {
		c.Addr = cli.Reachable(c.Addr)
		return c, nil
	}
	found, err := t.configured()
	if c.Addr == "" {
		if err := found.address(c, err, t.config != "", s); err != nil {
			return nil, err
		}
	}
	c.Addr = cli.Reachable(c.Addr)
	if c.Token == "" {
		found.token(c, err)
	}
	return c, nil
}

// firstOf returns the value of a flag, or else of a variable of the environment, and which it was.
func firstOf(given, name, variable string) (value, from string) {
	if given != "" {
		return given, name
	}
	if value := os.Getenv(variable); value != "" {
		return value, "the variable " + variable
	}
	return "", ""
}

// configured is what a configuration says of the admin listener.
type configured struct {
	path string // "" if there is none
	config.AdminListener
}

func (t *target) configured() (configured, error) {
	path, err := findConfig(t.config)
	if err != nil {
		return configured{}, nil // neither named nor there
	}
	if t.config == "" && !filepath.IsAbs(path) && foreign(path) {
		// Its author could have this command read a file of this user, and send it as the token.
		return configured{path: path}, fmt.Errorf("%s belongs to another user, and is read only if -config names it", path)
	}
	found, err := config.FindAdmin(path)
	return configured{path, found}, err
}

// address sets the client's. unread is why the configuration cannot be read; that ends the command if it was named.
func (f configured) address(c *cli.Client, unread error, named bool, s streams) error {
	c.Addr, c.From = config.DefaultAdmin, "the default"
	switch {
	case f.path == "":
		c.From = "the default, as neither " + strings.Join(configPaths, " nor ") + " exists"
	case unread != nil && named:
		return fmt.Errorf("%w; %s", unread, readRemedy(unread))
	case unread != nil:
		fmt.Fprintf(s.err, "lb: warning: %v; trying the default admin address, %s; %s\n", unread, config.DefaultAdmin, readRemedy(unread))
	case f.ListenProblem != nil:
		fmt.Fprintf(s.err, "lb: warning: %s: %s; trying the default admin address, %s\n", line(f.ListenProblem.Pos), f.ListenProblem.Summary, config.DefaultAdmin)
	case f.Listen == "":
		return fmt.Errorf("%s: the configuration has no admin listener, listen is \"off\"; if the running lb has one, %s", line(f.ListenPos), c.Remedy)
	case f.ListenPos.Line == 0:
		c.From = "the default, as " + f.path + " names none"
	default:
		c.Addr, c.From = f.Listen, line(f.ListenPos)
		c.Remedy = "use -admin ADDR with the address that it has, which differs if the file was edited since lb read it"
	}
	if _, port, err := net.SplitHostPort(c.Addr); err == nil && port == "0" {
		return fmt.Errorf("%s: the system chooses the port of the admin listener; see \"admin listening\" in lb's log, and use -admin ADDR", line(f.ListenPos))
	}
	return nil
}

// token sets the client's token. A configuration's token is sent only to its own address.
func (f configured) token(c *cli.Client, unread error) {
	switch {
	case f.path == "":
	case unread != nil:
		c.TokenFrom = "none is known: " + unread.Error()
		if errors.Is(unread, fs.ErrPermission) {
			c.TokenFrom += " (try sudo)"
		}
	case f.TokenProblem != nil:
		c.TokenFrom = "none is known: " + line(f.TokenProblem.Pos) + ": " + f.TokenProblem.Summary
	case f.Token == "" && f.TokenPos.Line > 0:
		c.TokenFrom = "the one in " + line(f.TokenPos) + " is empty here"
	case f.Token == "":
		c.TokenFrom = f.path + " has none"
	case f.ListenProblem != nil || cli.Reachable(f.Listen) != c.Addr:
		c.TokenFrom = "the one in " + line(f.TokenPos) + " is only for the address in that configuration"
	default:
		c.Token, c.TokenFrom = string(f.Token), line(f.TokenPos)+", which may have been edited since lb read it"
	}
}

// readRemedy says how to do without a configuration that cannot be read.
func readRemedy(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "use sudo, or -admin ADDR and -token TOKEN, or the variables " + adminVariable + " and " + tokenVariable
	}
	return "use -admin ADDR"
}

// line returns the file and the line of a place.
func line(p config.Pos) string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}
