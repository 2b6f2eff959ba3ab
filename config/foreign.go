package config

import (
	"fmt"
	"net"
	"path"
	"strings"
)

// dialect is the configuration language of another server, lines of which may be pasted into a configuration.
type dialect struct {
	name  string
	words map[string]func(args []string) string // by directive, from its arguments to the line to write here
	// shape reports whether a line looks like that language, for words that both languages have.
	shape func(pieces []piece) bool
}

func dialects() []*dialect { return []*dialect{&nginx, &caddy, &haproxy} }

// dialectOf returns the language of lines that are not ours, or nil.
func dialectOf(lines [][]piece) *dialect {
	for _, d := range dialects() {
		for _, pieces := range lines {
			if _, ok := d.translate(pieces); ok {
				return d
			}
		}
	}
	return nil
}

// translate returns what to write instead of a line of the language.
func (d *dialect) translate(pieces []piece) (string, bool) {
	if len(pieces) == 0 || pieces[0].kind != plainWord || !d.shape(pieces) {
		return "", false
	}
	word := pieces[0].unquoted()
	write := d.words[word]
	var args []string
	for _, p := range pieces[1:] {
		if p.kind != mark || p.is("=") {
			args = append(args, p.unquoted())
		}
	}
	if write == nil && d.words[""] != nil {
		write, args = d.words[""], append([]string{word}, args...)
	}
	if write == nil {
		return "", false
	}
	return write(args), true
}

// argument returns the nth argument, or instead if it is missing.
func argument(args []string, n int, instead string) string {
	if n < len(args) {
		return args[n]
	}
	return instead
}

func quoteAll(words []string) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(list, ", ")
}

func remove(why string) func([]string) string {
	return func([]string) string { return "Remove it: " + why }
}

func writeText(text string) func([]string) string {
	return func([]string) string { return "Write: " + text }
}

// toPool translates one line of theirs into our two blocks.
func toPool(args []string) string {
	var backends strings.Builder
	for _, a := range args {
		_, address, found := strings.Cut(a, "://")
		if !found {
			address = a
		}
		address, _, _ = strings.Cut(address, "/")
		if len(args) == 1 && isName(address) && address != "localhost" { // a pool that is named in another place
			return fmt.Sprintf("Write, in the route: proxy { pool = %q }", address)
		}
		backends.WriteString(fmt.Sprintf("\n      backend %q {}", withPort(address)))
	}
	return "Write, in the route, and outside the site:\n    proxy { pool = \"app\" }\n\n    pool \"app\" {" + backends.String() + "\n    }"
}

func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err != nil && !strings.HasPrefix(address, "unix") {
		return address + ":80"
	}
	return address
}

func listenLine(args []string) string {
	address := strings.TrimPrefix(argument(args, 0, "80"), "*")
	if strings.Contains(address, "…") { // IPv6 in brackets; a port alone serves both
		address = "80"
	}
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	for _, a := range args {
		if a == "ssl" || a == "crt" {
			return fmt.Sprintf("Write, outside any site:\n    listen %q {\n      tls {\n        certificate {\n          cert = \"/etc/lb/site.pem\"\n          key  = \"/etc/lb/site.key\"\n        }\n      }\n    }", address)
		}
	}
	return fmt.Sprintf("Write, outside any site: listen %q {}", address)
}

func routeLine(args []string) string {
	p := argument(args, 0, "/")
	switch {
	case p == "=" && len(args) > 1:
		return fmt.Sprintf("Write: route \"= %s\" {", args[1])
	case p == "~*" && len(args) > 1:
		return fmt.Sprintf("Write: route %q {", "~ (?i)"+args[1])
	case p == "~" && len(args) > 1:
		return fmt.Sprintf("Write: route %q {", "~ "+args[1])
	case p == "^~" && len(args) > 1:
		return fmt.Sprintf("Write: route %q {", args[1])
	case strings.HasPrefix(p, "^"):
		return fmt.Sprintf("Write: route %q {", "~ "+p)
	}
	return fmt.Sprintf("Write: route %q {", strings.TrimSuffix(p, "*"))
}

// serverLine translates what follows a server's address: "weight=2", where each word is an argument, or "weight 2".
func serverLine(address string, rest []string) string {
	var set []string
	for i, a := range rest {
		value := argument(rest, i+1, "")
		if value == "=" {
			value = argument(rest, i+2, "")
		}
		switch {
		case a == "backup":
			set = append(set, "backup = true")
		case a == "weight" && isDigits(value):
			set = append(set, "weight = "+value)
		case (a == "max_conns" || a == "maxconn") && isDigits(value):
			set = append(set, "max_conns = "+value)
		}
	}
	switch len(set) {
	case 0:
		return fmt.Sprintf("Write: backend %q {}", withPort(address))
	case 1:
		return fmt.Sprintf("Write: backend %q { %s }", withPort(address), set[0])
	}
	return fmt.Sprintf("Write:\n    backend %q {\n      %s\n    }", withPort(address), strings.Join(set, "\n      "))
}

// measure returns the argument that is a number with one of the units, given what each is here; "" is for a number
// alone.
func measure(args []string, n int, units map[string]string, instead string) string {
	a := argument(args, n, "")
	digits := strings.TrimRight(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if unit := units[strings.ToLower(a[len(digits):])]; unit != "" && isDigits(digits) {
		return digits + unit
	}
	return instead
}

var (
	nginxTime   = map[string]string{"": "s", "s": "s", "ms": "ms", "m": "m", "h": "h"}
	nginxSize   = map[string]string{"": "B", "k": "KiB", "m": "MiB", "g": "GiB"}
	haproxyTime = map[string]string{"": "ms", "s": "s", "ms": "ms", "m": "m", "h": "h"}
)

// setTo returns a translation into an attribute with the measure of the first argument.
func setTo(format string, units map[string]string, instead string) func([]string) string {
	return func(args []string) string { return "Write: " + fmt.Sprintf(format, measure(args, 0, units, instead)) }
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func balanceLine(args []string) string {
	word := argument(args, 0, "round_robin")
	known := map[string]string{"roundrobin": "round_robin", "static-rr": "round_robin", "leastconn": "least_conn", "source": "hash", "uri": "hash", "rand": "random", "ip_hash": "hash"}
	if k := known[word]; k != "" {
		word = k
	}
	return fmt.Sprintf("Write: balance = %q", word)
}

const siteBlock = "Write: site \"app\" {\n  The address to listen on is a separate block, outside the site: listen \":80\" {}"

func redirectLine(args []string) string {
	if len(args) == 2 && strings.HasPrefix(args[1], "https://$") {
		return "Write, in the listen block of the plain listener, in place of this site: redirect_https = true"
	}
	if len(args) == 2 && strings.HasPrefix(args[0], "30") {
		return fmt.Sprintf("Write, in a route:\n    redirect {\n      to     = %q\n      status = %s\n    }\n  A whole listener goes to https by: redirect_https = true", strings.ReplaceAll(args[1], "$request_uri", "{path}"), args[0])
	}
	return fmt.Sprintf("Write, in a route: respond { status = %s }", argument(args, 0, "200"))
}

func ourHeader(what string) func(args []string) string {
	return func(args []string) string {
		return fmt.Sprintf("Write, in the route:\n    %s {\n      set = { %q = \"…\" }\n    }", what, argument(args, 0, "X-Name"))
	}
}

var tlsFiles = writeText("tls { … } in the listen block, and in it:\n    certificate {\n      cert = \"/etc/lb/site.pem\"\n      key  = \"/etc/lb/site.key\"\n    }")

var grpcToPool = writeText("proxy { pool = \"NAME\" } in the route, and in the pool of that name: protocol = \"h2c\", or \"h2\" with tls {}")

var nginx = dialect{
	name: "nginx",
	shape: func(pieces []piece) bool {
		last := pieces[len(pieces)-1]
		if len(pieces) > 1 && pieces[1].kind == quoted && !last.is(";") {
			return false // one of our labels
		}
		switch pieces[0].text {
		case "server", "events", "http", "location", "upstream", "stream":
			return last.is("{") || last.is(";") || last.is("}")
		}
		return last.is(";") && (len(pieces) < 2 || !pieces[1].is("="))
	},
	words: map[string]func([]string) string{
		"http":   remove("sites and pools stand side by side, in no block around them, and neither has its closing brace."),
		"stream": remove("lb balances HTTP, not plain TCP."),
		"events": remove("there is nothing to set."),
		"server": func(args []string) string {
			if len(args) > 0 {
				return serverLine(args[0], args[1:])
			}
			return siteBlock
		},
		"listen": listenLine,
		"server_name": func(args []string) string {
			if argument(args, 0, "") == "_" {
				return "Remove it: a site without hosts serves all other hosts."
			}
			return "Write: hosts = [" + quoteAll(args) + "]"
		},
		"location": routeLine,
		"upstream": func(args []string) string {
			return fmt.Sprintf("Write, outside any site: pool %q {", argument(args, 0, "app"))
		},
		"proxy_pass": toPool, "grpc_pass": grpcToPool, "fastcgi_pass": remove("lb speaks HTTP to its backends."), "uwsgi_pass": remove("lb speaks HTTP to its backends."),
		"root": func(args []string) string {
			return fmt.Sprintf("Write, in a route: static { root = %q }", argument(args, 0, "/var/www/html"))
		},
		"alias": func(args []string) string {
			return fmt.Sprintf("Write, in the route:\n    static {\n      root         = %q\n      strip_prefix = true\n    }", argument(args, 0, "/var/www/html"))
		},
		"index":      func(args []string) string { return "Write, in static: index = [" + quoteAll(args) + "]" },
		"try_files":  writeText(`try_files = ["{path}", "{path}/", "=404"], in static`),
		"return":     redirectLine,
		"rewrite":    writeText(`rewrite = "/new{path}", in proxy`),
		"least_conn": func([]string) string { return balanceLine([]string{"least_conn"}) },
		"ip_hash":    func([]string) string { return balanceLine([]string{"ip_hash"}) },
		"random":     func([]string) string { return balanceLine([]string{"random"}) },
		"keepalive": func(args []string) string {
			return fmt.Sprintf("Write: keepalive { max_idle = %s }", argument(args, 0, "256"))
		},
		"ssl_certificate": tlsFiles, "ssl_certificate_key": tlsFiles,
		"add_header":         ourHeader("response_headers"),
		"proxy_set_header":   remove("the client's Host is kept, and X-Forwarded-For, -Proto and -Host are sent. Others: request_headers { set = { … } }"),
		"proxy_http_version": remove("HTTP/1.1 and keep-alive are the default."), "proxy_buffering": remove("responses are streamed."),
		"proxy_connect_timeout": setTo(`timeouts { connect = %q }, in the pool`, nginxTime, "3s"), "proxy_read_timeout": setTo(`timeouts { response = %q }, in the pool`, nginxTime, "60s"),
		"keepalive_timeout": setTo(`limits { idle_timeout = %q }`, nginxTime, "75s"), "client_max_body_size": setTo(`limits { body_size = %q }`, nginxSize, "8MiB"),
		"error_page": writeText("error_page { … } in the site, and in it:\n    status = [404]\n    file   = \"/var/www/404.html\""),
		"access_log": writeText(`access_log { file = "/var/log/lb/access.log" }`), "error_log": writeText(`log { file = "/var/log/lb/lb.log" }`),
		"allow": func(args []string) string { return fmt.Sprintf("Write: allow = [%s]", quoteAll(args)) },
		"deny": func(args []string) string {
			if argument(args, 0, "") == "all" {
				return "Remove it: with allow set, everything else is denied."
			}
			return fmt.Sprintf("Write: deny = [%s]", quoteAll(args))
		},
		"worker_processes": remove("one process uses all processors."), "user": remove("the service manager sets the user."),
		"pid": remove("there is no such file."), "include": remove("a directory of *.hcl files is read as one configuration."),
		"sendfile": remove("there is nothing to set."), "tcp_nopush": remove("there is nothing to set."), "gzip": writeText("compress = true in the route, for responses of backends; static files are compressed without it"),
		"worker_connections": writeText("limits { max_connections = 10000 }, if it must be limited"),
	},
}

var caddy = dialect{
	name: "Caddy",
	shape: func(pieces []piece) bool {
		last := pieces[len(pieces)-1]
		if pieces[0].kind != plainWord || last.is(";") || len(pieces) > 1 && pieces[1].is("=") {
			return false
		}
		switch pieces[0].text {
		case "reverse_proxy", "file_server", "handle", "handle_path", "redir", "encode", "lb_policy", "health_uri":
			return true
		case "root", "respond", "tls": // also ours, but not followed by a word
			return len(pieces) > 1 && pieces[1].kind == plainWord
		}
		// A single address before a brace.
		return len(pieces) == 2 && last.is("{") && !isName(pieces[0].text) && strings.ContainsAny(pieces[0].text, ".:")
	},
	words: map[string]func([]string) string{
		"": func(args []string) string {
			_, host, found := strings.Cut(args[0], "://")
			if !found {
				host = args[0]
			}
			name, port, err := net.SplitHostPort(host)
			if err != nil {
				name, port = host, "80"
			}
			text := fmt.Sprintf("Write, with the listener outside the site:\n    listen %q {}\n\n    site \"app\" {", ":"+port)
			if name != "" {
				text += fmt.Sprintf("\n      hosts = [%q]\n  Certificates are files, named in the listener's tls block; lb does not obtain them.", name)
			}
			return text
		},
		"reverse_proxy": toPool,
		"file_server":   remove("static serves files."),
		"root": func(args []string) string {
			return fmt.Sprintf("Write, in a route: static { root = %q }", argument(args, len(args)-1, "/var/www/html"))
		},
		"handle": routeLine,
		"handle_path": func(args []string) string {
			return routeLine(args) + "\n  and in its proxy or static block: strip_prefix = true"
		},
		"redir": func(args []string) string {
			return fmt.Sprintf("Write, in a route: redirect { to = %q }", argument(args, len(args)-1, "/new/{rest}"))
		},
		"encode":    writeText("compress = true in the route, for responses of backends; static files are compressed without it"),
		"lb_policy": balanceLine,
		"health_uri": func(args []string) string {
			return fmt.Sprintf("Write, in the pool: health { path = %q }", path.Clean("/"+argument(args, 0, "/")))
		},
		"tls": tlsFiles,
		"respond": func(args []string) string {
			return fmt.Sprintf("Write: respond { body = %q }", argument(args, 0, "pong"))
		},
	},
}

var haproxy = dialect{
	name: "HAProxy",
	shape: func(pieces []piece) bool {
		for _, p := range pieces {
			if p.kind == mark && !p.is(",") && !p.is("(") && !p.is(")") {
				return false
			}
		}
		switch pieces[0].text {
		case "global", "defaults":
			return len(pieces) == 1
		case "backend", "listen": // ours have a label in quotes, or an address
			return len(pieces) == 2 && pieces[1].kind == plainWord && isName(pieces[1].text)
		case "balance":
			return len(pieces) > 1 && pieces[1].kind == plainWord && balanceLine([]string{pieces[1].text}) != fmt.Sprintf("Write: balance = %q", pieces[1].text)
		case "server":
			return len(pieces) > 2
		}
		return len(pieces) > 1 && pieces[1].kind == plainWord
	},
	words: map[string]func([]string) string{
		"global": remove("limits, log and others are separate blocks."), "defaults": remove("each setting has a default."),
		"frontend": writeText("site \"app\" {\n  The address to listen on is a separate block, outside the site: listen \":80\" {}"),
		"bind":     listenLine,
		"backend": func(args []string) string {
			return fmt.Sprintf("Write, outside any site: pool %q {", argument(args, 0, "app"))
		},
		"listen": func(args []string) string { return siteBlock },
		"default_backend": func(args []string) string {
			return fmt.Sprintf("Write:\n    route \"/\" {\n      proxy { pool = %q }\n    }", argument(args, 0, "app"))
		},
		"use_backend": func(args []string) string {
			return fmt.Sprintf("Write a separate route:\n    route \"/prefix/\" {\n      proxy { pool = %q }\n    }", argument(args, 0, "app"))
		},
		"server": func(args []string) string {
			return serverLine(argument(args, 1, "127.0.0.1:5000"), args[min(2, len(args)):])
		},
		"balance": balanceLine,
		"mode":    remove("lb balances only HTTP."),
		"option":  remove("active checks are: health { path = \"/healthz\" }, in the pool. The other options have no counterpart."),
		"acl":     remove("a route matches by path, methods and headers."),
		"maxconn": func(args []string) string {
			return fmt.Sprintf("Write: limits { max_connections = %s }", argument(args, 0, "10000"))
		},
		"timeout": func(args []string) string {
			to := func(format, instead string) string {
				return "Write" + fmt.Sprintf(format, measure(args, 1, haproxyTime, instead))
			}
			switch argument(args, 0, "") {
			case "connect":
				return to(", in the pool: timeouts { connect = %q }", "3s")
			case "check":
				return to(", in the pool: health { timeout = %q }", "1s")
			case "server":
				return to(", in the pool: timeouts { response = %q }", "60s")
			case "tunnel":
				return to(", in the pool: timeouts { tunnel = %q }", "1h")
			case "queue":
				return to(", in the pool: queue { timeout = %q }", "5s")
			case "http-request":
				return to(": limits { header_timeout = %q }", "10s")
			}
			return to(": limits { idle_timeout = %q }", "75s")
		},
	},
}
