# The reference: every block and attribute, with its default where it has one.
#
# All is optional but one listen, one site with one route, and the pools that
# routes name. Durations are "1500ms", "2s", "5m"; sizes "16KiB", "8MiB".
# env("NAME"), env("NAME", "default") and file("path") give texts. Relative paths
# begin at this file's folder. What is commented out as "not available in this
# version" is read, and refused with its place.

# An address for clients; repeatable. ":8080" is every address of this machine, and so
# is "[::]:8080"; "0.0.0.0:80" is all of IPv4, "unix:/run/lb.sock" a socket.
listen ":8080" {
  ipv6_only      = false # true: "[::]:8080" is IPv6 alone
  proxy_protocol = false # true: a PROXY header, v1 or v2, is required from trusted_proxies
  redirect_https = false # true, on a plain listener: 308 to https
}

listen ":8443" {
  tls {
    # Repeatable; the server name of the handshake picks one, the first is the default.
    certificate {
      cert = "/etc/lb/clock.pem"
      key  = "/etc/lb/clock.key"
    }
    min_version = "1.2" # or "1.3"
    client_ca   = ""    # a PEM file: a client certificate signed by it is required
    # http2     = true  # not available in this version: clients are served HTTP/1.1

    # Not available in this version: certificates by ACME.
    # acme {
    #   domains   = ["clock.example.com"]
    #   email     = "ops@example.com"
    #   directory = "" # default: Let's Encrypt
    #   ca        = "" # an extra trust root, for a private ACME server
    #   storage   = "/var/lib/lb/acme"
    # }
  }
}

# The second listener: dashboard, API and metrics.
admin {
  listen = "127.0.0.1:9900" # "off" for none
  token  = ""               # required when the address is not loopback, of at least 16 characters: env("LB_ADMIN_TOKEN")
}

# Networks whose X-Forwarded-* and PROXY headers are believed.
trusted_proxies = []

# What happens to the balancer itself.
log {
  level  = "info" # trace, debug, info, warn, error
  format = "text" # text, json
  file   = "-"    # "-" is the standard error stream
}

# One line a request.
access_log {
  format = "json" # json, combined, off
  file   = "-"    # "-" is the standard output stream
  sample = 1.0    # the share that is logged; 5xx and those with an error always are
}

limits {
  max_connections    = 0       # 0: what the descriptor limit allows, with a reserve
  connections_per_ip = 0       # 0: no limit; over it: 429
  header_size        = "16KiB" # over it: 431
  header_fields      = 100     # of a head, and of a trailer section; more: 431
  header_timeout     = "10s"   # for the whole head, and the TLS handshake: 408
  body_size          = 0       # 0: no limit; over it: 413
  body_idle_timeout  = "60s"   # between two reads of a body
  body_min_rate      = "128B"  # a second, of a body either way, over each minute of waiting for the client; 0: none
  idle_timeout       = "75s"   # of a kept-alive connection
}

# Static files are served from memory.
static_cache {
  memory   = "256MiB" # all cached bodies
  max_file = "8MiB"   # larger files are streamed from disk
}

# After SIGTERM: serve on for delay, not ready any more, then finish within grace.
shutdown {
  grace = "30s"
  delay = "0s"
}

site "clock" {
  # Names, or "*." and a name for all below it. None: the default site.
  hosts = ["clock.example.com", "*.example.org"]

  maintenance {
    page = "/var/www/maintenance.html" # also served while a pool has no usable backend
    file = "/run/lb/maintenance"       # while this file exists the site answers 503 with the page
  }

  # Instead of the balancer's own text; repeatable.
  error_page {
    status = [404]
    file   = "/var/www/404.html"
  }

  # A prefix; the longest wins. "= /exact" beats every prefix.
  route "/images/" {
    static {
      root          = "/var/www/pyclock"    # the whole path is appended
      strip_prefix  = false                 # true: the route's prefix is cut first
      index         = ["index.html"]        # files that stand for their folder
      try_files     = ["{path}", "{path}/"] # the last may be "=404" or "/fallback.html"
      cache_control = ""                    # "public, max-age=3600"
      # compress    = true                    # not available in this version: files are sent as they are
      browse   = false # true is not available in this version
      dotfiles = false # true: also names that begin with a dot
    }
  }

  # With every attribute that any route can have.
  route "/" {
    methods = [] # none: all; others get 405
    headers = {} # name = value that must match: { "X-Version" = "2" }

    # Not available in this version: a limit for each client.
    # rate_limit {
    #   key   = "client_ip" # client_ip, header:NAME, cookie:NAME
    #   rate  = "100/s"     # /s, /m, /h
    #   burst = 200
    #   redis = "" # "redis://…": one limit for a whole fleet
    # }

    # "allow": paths too that a backend could read as those of another route that
    # has "allow" as well; not beside allow or deny.
    ambiguous_paths = "reject"

    allow = [] # networks; if there are any, all else is 403
    deny  = []

    # Not available in this version: a password.
    # basic_auth {
    #   users_file = "" # htpasswd, bcrypt
    # }

    # Towards the backend.
    request_headers {
      set    = {} # { "X-Site" = "clock" }
      add    = {}
      remove = []
    }

    # Towards the client.
    response_headers {
      set    = {}
      add    = {}
      remove = [] # ["X-Powered-By"]
    }

    proxy {
      pool         = "app"
      strip_prefix = false # true: the route's prefix is cut, and sent as X-Forwarded-Prefix
      rewrite      = ""    # "/v2{path}"; {rest} is what follows the route's prefix
      host         = ""    # default: the client's Host is kept

      # For backends with few workers, which slow clients would hold.
      buffer_request  = 0  # "1MiB": a body up to this is whole before a backend is asked; 0: it is streamed
      buffer_response = 0  # "1MiB": so much is taken from the backend ahead of the client
      buffer_dir      = "" # what of a body exceeds 64 KiB is in files here; "": in memory

      # Over the pool's.
      timeouts {
        response = ""
        idle     = ""
      }
    }
  }

  # Five of a hundred requests to another pool.
  route "/beta/" {
    proxy {
      split = {
        "app"    = 95
        "canary" = 5
      }
    }
  }

  route "/old/" {
    redirect {
      to     = "/new/{rest}" # {path} is the whole path
      status = 308           # 301, 302, 303, 307, 308
    }
  }

  route "= /ping" {
    respond {
      status       = 200
      body         = "pong"
      content_type = "text/plain"
    }
  }
}

pool "app" {
  balance  = "round_robin" # round_robin, least_conn, p2c, peak_ewma, random, hash, first
  hash_key = "client_ip"   # with hash: client_ip, path, uri, header:NAME, cookie:NAME

  backend "127.0.0.1:5000" {
    weight    = 1
    max_conns = 0     # requests at a time; 0: no limit
    backup    = false # true: only when no other is usable
  }
  backend "unix:/run/app.sock" {}

  # The addresses of a name, asked for again when their time to live ends.
  discover "dns" {
    name     = "app"
    port     = 5000
    type     = "A"  # or "SRV": ports, weights and backups come from the records
    interval = "5s" # the least between two lookups
    resolver = ""   # "127.0.0.1:53"; default: the system's
  }

  # One "address [weight=N] [backup]" a line; watched.
  discover "file" {
    path = "/etc/lb/app.backends"
  }

  # The running containers with a label.
  discover "docker" {
    label  = "lb.pool=app"
    port   = 5000
    socket = "/var/run/docker.sock"
  }

  # The instances of a service whose checks pass.
  discover "consul" {
    service = "app"
    address = "127.0.0.1:8500"
    tag     = ""
    token   = ""
  }

  # Active checks. Without this block every backend counts as up.
  health {
    type          = "http" # http, tcp
    path          = "/"
    method        = "GET"
    host          = ""        # the Host header; default: the backend's address
    status        = "200-399" # or a list: "200,204,300-399"
    body          = ""        # a text that must be in the first 64 KiB
    interval      = "2s"
    fast_interval = "500ms" # while a backend is changing state
    timeout       = "1s"
    jitter        = 0.1 # the share of the interval that is left to chance
    rise          = 2   # passes in a row that make it up
    fall          = 3   # failures in a row that make it down
  }

  # Passive checks: what requests tell.
  eject {
    failures    = 5     # in a row: connect, reset, timeout, 502, 503, 504; 0: never
    duration    = "10s" # times the number of ejections in a row
    max_percent = 50    # of the pool's backends, by status or timeout; by refused or reset connections all but the last
  }

  # Only requests that can be sent again without harm.
  retry {
    attempts = 2                           # after the first try; a refused connection is none, as nothing was sent
    budget   = 0.1                         # of the pool's requests, and never under 3 a second
    on       = ["connect", "reset", "503"] # also "timeout", "502", "504"
    body     = "64KiB"                     # a larger body is sent once
  }

  response_header_size = "32KiB" # of a backend's response; over it: 502
  slow_start           = "0s"    # in which a backend that comes back gets its share, step by step; 0s: at once
  panic_threshold      = 0       # fewer usable than this share, but at least one: use all that do not refuse connections; 0: never

  # Waiting while every backend is at max_conns, or none is usable.
  queue {
    limit      = 1024
    timeout    = "5s"
    while_down = "1s" # without a usable backend for longer: 503 at once
  }

  timeouts {
    connect  = "3s"
    response = "60s" # to the response head
    idle     = "60s" # between two reads or writes of a body
    tunnel   = "1h"  # without a byte either way on a WebSocket or other upgraded connection; 0s: no limit
  }

  # Below the time after which the backends close: Node does after 5s.
  keepalive {
    max_idle     = 256
    idle_timeout = "4s"
    max_requests = 0 # on one connection; 0: no limit
  }

  # Clients that stay on their backend, by a signed cookie. The secret is what you make it: openssl rand -hex 32
  # sticky {
  #   cookie = "lb"
  #   secret = env("LB_STICKY_SECRET")
  #   ttl    = "0s" # 0s: until the browser is closed
  # }
}

pool "canary" {
  backend "canary.internal:8443" {}

  # Present: https to the backends.
  tls {
    ca          = "" # a PEM file; default: the system's roots
    cert        = "" # a client certificate, with its key
    key         = ""
    server_name = "" # default: the host of the backend's address
    verify      = true
  }
}
