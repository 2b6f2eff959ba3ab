# lb's configuration in the stack of docker-compose.yml.

listen ":8080" {}

# The loopback address inside a container is reachable only from the container.
# With a token in LB_ADMIN_TOKEN the admin listener opens to the stack, so that
# the dashboard's published port and Prometheus can reach it; without one it
# stays inside, where the health check uses it.
admin {
  listen = env("LB_ADMIN_TOKEN", "") == "" ? "127.0.0.1:9900" : ":9900"
  token  = env("LB_ADMIN_TOKEN", "")
}

# Docker stores the standard output and error streams.
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

  # Docker's own name server returns one address for each replica.
  discover "dns" {
    name     = "app"
    port     = 5000
    interval = "1s"
  }

  # A replica that gets SIGTERM fails /healthz at once and keeps serving for
  # 5 s (-drain in docker-compose.yml). The checks notice within about a second,
  # so scaling down loses no request.
  health {
    path          = "/healthz"
    status        = "200"
    interval      = "1s"
    fast_interval = "250ms"
    rise          = 1
    fall          = 2
  }

  # The address of a stopped container does not refuse connections; they time out.
  timeouts {
    connect = "500ms"
  }

  # When five replicas become two, three fifths are down on purpose: never use
  # all of them because of that.
  panic_threshold = 0
}
