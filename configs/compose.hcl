# lb's configuration in the stack of docker-compose.yml.

listen ":8080" {}

# Inside a container loopback is reachable from the container alone. With a
# token in LB_ADMIN_TOKEN the admin listener opens to the stack, so that the
# dashboard's published port and Prometheus reach it; without one it stays
# inside, where the health check finds it.
admin {
  listen = env("LB_ADMIN_TOKEN", "") == "" ? "127.0.0.1:9900" : ":9900"
  token  = env("LB_ADMIN_TOKEN", "")
}

# Docker keeps what goes to standard output.
log {
  format = "json"
}

# Below stop_grace_period in docker-compose.yml.
shutdown {
  grace = "20s"
}

site "clock" {
  route "/images/" {
    static {
      root          = "/var/www/clock"
      cache_control = "public, max-age=3600"
    }
  }
  route "/" {
    proxy { pool = "app" }
  }
}

pool "app" {
  balance = "round_robin"

  # Docker's own name server answers with one address for each replica.
  discover "dns" {
    name     = "app"
    port     = 5000
    interval = "1s"
  }

  # A replica that is told to stop fails /healthz at once and serves on for 5 s
  # (-drain in docker-compose.yml). One second finds that out, so scaling down
  # never costs a request.
  health {
    path          = "/healthz"
    status        = "200"
    interval      = "1s"
    fast_interval = "250ms"
    rise          = 1
    fall          = 2
  }

  # The address of a container that is gone does not refuse, it is silent.
  timeouts {
    connect = "500ms"
  }

  # From five replicas to two, three fifths are down on purpose: never go back
  # to using them all.
  panic_threshold = 0
}
