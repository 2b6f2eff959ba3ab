# The reference: every block and attribute, with its default if it has one.
#
# Required are only one listen, one site with one route, and the pools that
# routes name. Durations are "1500ms", "2s", "5m"; sizes "16KiB", "8MiB".
# env("NAME"), env("NAME", "default") and file("path") return strings. Relative
# paths start at this file's directory. What is commented out as "not available
# in this version" is recognized and reported by lb check.

# An address for clients; repeatable. ":8080" and "[::]:8080" are every address of this
# machine, "0.0.0.0:80" every IPv4 address, "unix:/run/lb.sock" a Unix socket.
listen ":8080" {
  http2          = false # true, without tls: HTTP/2 for clients that begin with it (prior knowledge)
  ipv6_only      = false # true: "[::]:8080" is IPv6 alone
  proxy_protocol = false # true: a PROXY header, v1 or v2, is required, from trusted_proxies
  redirect_https = false # true, on a listener without tls: 308 to https
}

listen ":443" {
  http3 = false # true: HTTP/3 too, on UDP port 443, announced by Alt-Svc

  tls {
    # Repeatable; the server name of the handshake selects one, the first is the default.
    certificate {
      cert = "/etc/lb/clock.pem"
      key  = "/etc/lb/clock.key"
    }
    min_version = "1.2" # or "1.3"
    client_ca   = ""    # a PEM file: clients must present a certificate signed by it
    # client_verify = "require" # with client_ca; "optional": clients may also have no certificate
    session_keys = ""   # a file of keys for session tickets, shared by several instances
    ech_keys     = ""   # a PEM file with keys of encrypted ClientHellos
    http2        = true # offered to clients beside HTTP/1.1

    # Certificates by ACME, instead of files or beside them.
    acme {
      domains    = ["clock.example.com"] # names and addresses; "*.example.com" needs dns
      email      = ""
      directory  = "" # default: Let's Encrypt
      ca         = "" # an extra trust root, for a private server
      profile    = "" # "shortlived": six days, at Let's Encrypt
      storage    = "/var/lib/lb/acme"
      challenges = ["http-01", "tls-alpn-01"] # or ["dns-01"], with dns
      # eab {                                 # an external account that the server requires
      #   kid  = "kid-1"
      #   hmac = env("ACME_HMAC")
      # }
      # fallback {                            # repeatable: used if the servers before fail; ca, profile and eab too
      #   directory = "https://acme.example.com/directory"
      # }
      # dns {
      #   exec = "/etc/lb/dns-01" # a program that sets the record: present NAME VALUE, cleanup NAME VALUE
      # }
      # on_demand {
      #   ask = "http://127.0.0.1:5000/domains" # certificates for other names, if this responds with 200
      # }
    }
  }
}

# The admin listener: dashboard, API and metrics.
admin {
  listen = "127.0.0.1:9900" # "off" for none
  token  = ""               # required, with at least 16 characters, if the address is not loopback: env("LB_ADMIN_TOKEN")
}

# Networks whose X-Forwarded-* and PROXY headers are believed.
trusted_proxies = []

# The operations log, about lb itself.
log {
  level  = "info" # trace, debug, info, warn, error
  format = "text" # text, json
  file   = "-"    # "-" is the standard error stream
}

# One line for each request.
access_log {
  format = "json" # json, combined, off
  file   = "-"    # "-" is the standard output stream
  sample = 1.0    # the share that is logged; 5xx and requests with an error always are
}

limits {
  max_connections    = 0       # 0: as many as the descriptor limit allows, with a reserve
  connections_per_ip = 0       # 0: no limit; above it: 429
  header_size        = "16KiB" # above it: 431
  header_fields      = 100     # of a head, and of a trailer section; above it: 431
  header_timeout     = "10s"   # for the whole head, and the TLS handshake; after it: 408
  body_size          = 0       # 0: no limit; above it: 413
  body_idle_timeout  = "60s"   # between two reads of a body
  body_min_rate      = "128B"  # a second, for bodies either way, over each minute of waiting for the client; 0: no limit
  idle_timeout       = "75s"   # for the next request on a kept-alive connection
}

# Static files are served from memory.
static_cache {
  memory   = "256MiB" # all cached bodies
  max_file = "8MiB"   # larger files are streamed from disk
}

# After SIGTERM: keep serving for delay while /readyz fails, then finish within grace.
shutdown {
  grace = "30s"
  delay = "0s"
}

site "clock" {
  # Names, or "*." and a name for all below it. None: the default site.
  hosts = ["clock.example.com", "*.example.org"]

  maintenance {
    page = "/var/www/maintenance.html" # also sent while a pool has no usable backend
    file = "/run/lb/maintenance"       # while this file exists every request gets 503 with the page
  }

  # In place of lb's own text; repeatable.
  error_page {
    status = [404]
    file   = "/var/www/404.html"
  }

  # A prefix; the longest wins. "= /exact" wins over every prefix.
  route "/images/" {
    static {
      root          = "/var/www/pyclock"    # the whole path is appended
      strip_prefix  = false                 # true: the route's prefix is removed first
      index         = ["index.html"]        # files that are served for their directory
      try_files     = ["{path}", "{path}/"] # the last may be "=404" or "/fallback.html"
      cache_control = ""                    # "public, max-age=3600"

      # Cache-Control for files by their name, or their path below root; the first that matches applies.
      cache_control_for = {} # { "*.html" = "no-cache" }
      immutable         = [] # ["/assets/*"]: these never change, and browsers keep them for a year

      compress = true  # zstd, br and gzip; "app.css.br" beside "app.css" is used if it is there
      browse   = false # true: list directories without an index
      dotfiles = false # true: also serve names that begin with a dot
      warm_up  = false # true: read the files into memory at the start
    }
  }

  # With every attribute that any route can have.
  route "/" {
    methods = [] # none: all; other methods get 405
    headers = {} # name = value that must match: { "X-Version" = "2" }
    query   = {} # name = value that must be in the query: { "version" = "2" }

    max_body = 0 # "1MiB": larger request bodies get 413; 0: no limit but limits { body_size }

    # How often each client may send a request; above it: 429. Repeatable.
    rate_limit {
      key        = "client_ip" # client_ip (IPv6 by /64), path, header:NAME, cookie:NAME, jwt:CLAIM
      rate       = "100/s"     # /s, /m, /h
      burst      = 200
      redis      = ""     # "redis://:PASSWORD@HOST:6379/0", or rediss://: one limit for a whole fleet
      redis_down = "open" # "closed": 503 while Redis cannot be used
    }

    # How many requests of each client may be in flight; above it: 429. Repeatable.
    concurrency {
      key   = "client_ip"
      limit = 10
    }

    # "allow": also accept paths that a backend could read as those of another route
    # that has "allow"; not together with allow or deny.
    ambiguous_paths = "reject"

    allow = [] # networks; if set, clients outside them get 403
    deny  = []
    # allow_file = "/etc/lb/allowed" # a network a line; watched
    # deny_file  = "/etc/lb/denied"

    # A name and a password, or 401.
    basic_auth {
      users_file = "/etc/lb/users" # as htpasswd -B writes it: bcrypt, or Argon2; watched
      realm      = "restricted"
    }

    # A service decides: 2xx lets the request pass, any other response goes to the client.
    forward_auth {
      pool         = "auth"
      path         = "/"
      copy_headers = [] # fields of its response for the backend: ["Remote-User"]
    }

    # Which web pages of other origins may use the route.
    cors {
      origins     = ["https://app.example.com", "https://*.example.org"] # or ["*"]
      methods     = []                                                   # none: GET, HEAD, POST
      headers     = []                                                   # that a page may send; ["*"]: all
      credentials = false                                                # true: with cookies and passwords
      max_age     = "0s"                                                 # for which browsers remember it; 0: their default
    }
    secure_headers = false # true: adds X-Content-Type-Options and the like

    hints = [] # what pages need: ["/app.css", "https://cdn.example.com"]; browsers learn it by a 103 before the page

    # Compress responses of backends; "compress = true" is the same with these defaults.
    compress {
      # types  = ["text/*"] # default: text, JSON, XML, JavaScript, SVG, WebAssembly and the like
      min_size = "1KiB" # shorter responses are sent as they are
      level    = 3      # 1: the least CPU; 6: the best ratio
    }

    # In requests to the backend.
    request_headers {
      set    = {} # { "X-Site" = "clock" }
      add    = {}
      remove = []
    }

    # In responses to the client.
    response_headers {
      set    = {}
      add    = {}
      remove = [] # ["X-Powered-By"]
    }

    # Stores responses of the backends in the memory of static_cache. Without the block: none.
    cache {
      ttl                    = "0s"              # freshness of responses that do not say so themselves; 0: they are not stored
      key                    = ["host", "query"] # also query:NAME, header:NAME, cookie:NAME
      max_object             = "8MiB"            # larger bodies are not stored
      stale_while_revalidate = "0s"
      stale_if_error         = "0s"
    }

    # Copies of a share of the requests go to another pool, whose responses are dropped.
    mirror {
      pool     = "canary"
      share    = 0.1      # 1: all
      max_body = "256KiB" # requests with a larger body are not copied
      limit    = 256      # copies in flight; beyond it none are made
      timeout  = "30s"    # for the response, and then for its body
    }

    proxy {
      pool         = "app"
      strip_prefix = false # true: the route's prefix is removed and sent as X-Forwarded-Prefix
      rewrite      = ""    # "/v2{path}"; {rest} is the part after the route's prefix
      host         = ""    # default: the client's Host

      # For backends with few workers, which slow clients would occupy.
      buffer_request  = 0  # "1MiB": a body up to this is received completely before a backend is picked; 0: streamed
      buffer_response = 0  # "1MiB": how much is read from the backend ahead of the client
      buffer_dir      = "" # the part of a body above 64 KiB is in files here; "": in memory

      # retry_on = ["connect"] # instead of the pool's retry.on

      # These override the pool's.
      timeouts {
        response = ""
        idle     = ""
      }
    }
  }

  # Five percent of the requests go to another pool.
  route "/beta/" {
    # A token that is signed with one of these keys, or 401.
    jwt {
      jwks              = "https://login.example.com/.well-known/jwks.json" # or a file
      issuer            = "https://login.example.com"
      audience          = "clock"
      claims_to_headers = {} # fields for the backend: { "X-User" = "sub" }
    }

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

  # A regular expression: after exact paths and longer prefixes, before "/".
  route "~ ^/item/(?P<id>[0-9]+)$" {
    redirect {
      to = "/new/{id}" # or {1}
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
    backup    = false # true: used only while no other is usable
  }
  backend "unix:/run/app.sock" {}

  # The addresses of a name, looked up again when their time to live ends.
  discover "dns" {
    name     = "app"
    port     = 5000
    type     = "A"  # or "SRV": ports, weights and backups come from the records
    interval = "5s" # the minimum between two lookups
    resolver = ""   # "127.0.0.1:53"; default: the system's
  }

  # One "address [weight=N] [max_conns=N] [backup]" a line; watched.
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
    type          = "http" # http, tcp, grpc
    port          = 0      # of the checks; 0: that of the backend
    path          = "/"
    method        = "GET"
    host          = ""        # the Host header; default: the backend's address
    status        = "200-399" # or a list: "200,204,300-399"
    body          = ""        # a string that must be in the first 64 KiB
    interval      = "2s"
    fast_interval = "500ms" # while a backend is changing state
    timeout       = "1s"
    jitter        = 0.1 # the share of the interval that is random
    rise          = 2   # passes in a row until it is up
    fall          = 3   # failures in a row until it is down
    # service = "" # with type = "grpc", whose status is asked for; "": that of the whole server
    # tls {}       # of the checks, as in the pool; enabled = false: none. Default: as the pool
  }

  # Passive checks: the results of requests.
  eject {
    failures    = 5     # in a row: connect, reset, timeout, 502, 503, 504; 0: never
    duration    = "10s" # multiplied by the number of ejections in a row
    max_percent = 50    # of the pool's backends, because of statuses or timeouts; because of connections all but the last
  }

  # Only requests that can safely be sent again.
  retry {
    attempts = 2                           # after the first try; refused connections do not count, as nothing was sent
    budget   = 0.1                         # of the pool's requests, but at least 3 a second
    on       = ["connect", "reset", "503"] # also "timeout", "502", "504", "unavailable" (of gRPC)
    body     = "64KiB"                     # a larger body is sent once
  }

  protocol       = "http1" # "h2": HTTP/2, with tls; "h2c": HTTP/2 without TLS
  proxy_protocol = ""      # "v1" or "v2": connections to backends begin with a PROXY header, which names the client

  response_header_size = "32KiB" # of a backend's response; above it: 502
  slow_start           = "0s"    # the time in which a backend that comes back gets its share, step by step; 0s: at once
  panic_threshold      = 0       # if fewer than this share are usable, but at least one: use all that do not refuse connections; 0: never

  # Where requests wait while every backend is at max_conns, or none is usable.
  queue {
    limit      = 1024
    timeout    = "5s"
    while_down = "1s" # after this time without a usable backend: 503 at once
  }

  timeouts {
    connect  = "3s"
    response = "60s" # to the response head
    idle     = "60s" # between two reads or writes of a body
    tunnel   = "1h"  # without a byte either way on a WebSocket or other upgraded connection; 0s: no limit
  }

  # idle_timeout must be below that of the backends; Node has 5s.
  keepalive {
    max_idle     = 256
    idle_timeout = "4s"
    max_requests = 0 # on one connection; 0: no limit
  }

  # A signed cookie keeps clients on their backend. To make a secret: openssl rand -hex 32
  # sticky {
  #   cookie = "lb"
  #   secret = env("LB_STICKY_SECRET")
  #   ttl    = "0s" # 0s: until the browser is closed
  # }
}

pool "canary" {
  backend "canary.internal:8443" {}

  # If present, lb uses https to the backends.
  tls {
    ca          = "" # a PEM file; default: the system's roots
    cert        = "" # a client certificate, with its key
    key         = ""
    server_name = "" # default: the host of the backend's address
    verify      = true
  }
}

pool "auth" {
  backend "127.0.0.1:9091" {}
}
