package server

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"lb/config"
	"lb/filter"
	"lb/filter/auth"
	"lb/internal/htpasswd"
	"lb/internal/networks"
	"lb/proxy"
	"lb/route"
)

// accessLook is how often the files that say who may use a route are looked at.
const accessLook = time.Second

// accessFiles are the files of a configuration that say who may use its routes, each read once.
type accessFiles struct {
	users    map[string]*usersFile
	networks map[string]*networksFile
	keys     map[string]*keySource
}

// networksFile is a file of networks.
type networksFile struct {
	watchedFile
	set atomic.Pointer[networks.Set]
}

// openNetworks returns the networks of a file, nil for the path "".
func (a *accessFiles) openNetworks(path, attribute string) (*atomic.Pointer[networks.Set], error) {
	if path == "" {
		return nil, nil
	}
	if f := a.networks[path]; f != nil {
		return &f.set, nil
	}
	f := &networksFile{}
	f.watchedFile = watchedFile{path: path, attribute: attribute, use: func(text []byte) error {
		set, err := networks.Parse(text)
		if err == nil {
			f.set.Store(set)
		}
		return err
	}}
	if err := f.read(); err != nil {
		return nil, err
	}
	if a.networks == nil {
		a.networks = map[string]*networksFile{}
	}
	a.networks[path] = f
	return &f.set, nil
}

// accessOf returns the rules about the addresses of a route's clients.
func (g *generation) accessOf(c *config.Route) (*filter.Access, error) {
	a := &filter.Access{Allow: c.Allow, Deny: c.Deny}
	var err error
	if a.AllowFile, err = g.access.openNetworks(c.AllowFile, "allow_file"); err != nil {
		return nil, at(c.Pos, "cannot use allow_file", err)
	}
	if a.DenyFile, err = g.access.openNetworks(c.DenyFile, "deny_file"); err != nil {
		return nil, at(c.Pos, "cannot use deny_file", err)
	}
	return a, nil
}

// usersFile is a file of users with passwords.
type usersFile struct {
	watchedFile
	users auth.Users
}

// openUsers returns the users of a file.
func (a *accessFiles) openUsers(path string) (*usersFile, error) {
	if f := a.users[path]; f != nil {
		return f, nil
	}
	f := &usersFile{}
	f.watchedFile = watchedFile{path: path, attribute: "users_file", use: func(text []byte) error {
		users, err := htpasswd.Parse(text)
		if err == nil {
			f.users.Store(users)
		}
		return err
	}}
	if err := f.read(); err != nil {
		return nil, err
	}
	if a.users == nil {
		a.users = map[string]*usersFile{}
	}
	a.users[path] = f
	return f, nil
}

// watchAccess uses files that were replaced.
func (s *Server) watchAccess() {
	log := s.log.Named("access")
	s.every(accessLook, func() {
		files := &s.current.Load().access
		for _, f := range files.users {
			f.look(log)
		}
		for _, f := range files.networks {
			f.look(log)
		}
		for _, k := range files.keys {
			if k.url == "" {
				k.file.look(log)
			}
		}
	})
}

// logins returns the filters that find out who a client is.
func (s *Server) logins(c *config.Route, g *generation) (list []filter.Request, err error) {
	if a := c.BasicAuth; a != nil {
		file, err := g.access.openUsers(a.UsersFile)
		if err != nil {
			return nil, at(a.Pos, "cannot use users_file", err)
		}
		list = append(list, auth.NewBasic(a.Realm, &file.users, s.loginChecks()))
	}
	if t := c.JWT; t != nil {
		keys, err := s.openKeys(t.JWKS, g)
		if err != nil {
			return nil, at(t.Pos, "cannot use jwks", err)
		}
		o := auth.JWTOptions{Keys: keys, Issuer: t.Issuer, Audience: t.Audience, Claims: limitedClaims(c)}
		for _, h := range t.ClaimsToHeaders {
			o.Headers = append(o.Headers, auth.ClaimHeader{Header: h.Name, Claim: h.Value})
		}
		list = append(list, auth.NewJWT(o, s.loginChecks()))
	}
	if a := c.ForwardAuth; a != nil {
		target, err := url.ParseRequestURI(a.Path)
		if err != nil {
			return nil, at(a.Pos, "cannot use the path of forward_auth", err)
		}
		plan := g.poolPlans[a.Pool]
		timeouts := plan.config.Timeouts
		list = append(list, &proxy.ForwardAuth{
			Pool: g.pools[a.Pool].pool, Target: target, Copy: a.CopyHeaders, Client: s.authClient, Settings: plan.options.TransportKey,
			Timeout: timeouts.Connect + cmp.Or(timeouts.Response, time.Minute),
		})
	}
	return list, nil
}

// requestRules returns what changes the requests to the backend of a route.
func requestRules(c *config.Route) route.HeaderRules {
	rules := headerRules(&c.RequestHeaders)
	if c.ForwardAuth != nil {
		rules.Guard(c.ForwardAuth.CopyHeaders)
	}
	if c.JWT != nil {
		for _, h := range c.JWT.ClaimsToHeaders {
			rules.Guard([]string{h.Name})
		}
	}
	for _, e := range c.Extensions {
		rules.Guard(e.Filters.Fields)
	}
	if c.Mirror != nil {
		rules.Guard([]string{proxy.MirroredField})
	}
	return rules
}

// loginChecks returns what all filters with passwords share, which outlasts reloads.
func (s *Server) loginChecks() *auth.Checks {
	if s.checks == nil {
		s.checks = auth.NewChecks()
	}
	return s.checks
}

// methods returns the methods by which a route is found. Preflight requests have one of their own.
func methods(c *config.Route) []string {
	if c.CORS == nil || len(c.Methods) == 0 || slices.Contains(c.Methods, http.MethodOptions) {
		return c.Methods
	}
	return append(slices.Clone(c.Methods), http.MethodOptions)
}

// corsOf returns the filter of a route's cors block.
func corsOf(c *config.Route) *filter.CORS {
	o := filter.CORSOptions{Origins: c.CORS.Origins, Methods: c.CORS.Methods, Headers: c.CORS.Headers, Credentials: c.CORS.Credentials, MaxAge: c.CORS.MaxAge}
	if len(methods(c)) != len(c.Methods) {
		o.Refused = proxy.WrongMethod(strings.Join(slices.Sorted(slices.Values(c.Methods)), ", "))
	}
	return filter.NewCORS(o)
}
