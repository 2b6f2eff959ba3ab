# Three replicas of one application with health checks; each request goes to the
# least busy one. Metrics are at http://127.0.0.1:9900/metrics, the dashboard is
# at http://127.0.0.1:9900/.

listen ":80" {}

admin {
  listen = "127.0.0.1:9900"
}

access_log {
  format = "json"
  file   = "-"
}

site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}

pool "app" {
  balance = "least_conn"

  backend "127.0.0.1:5000" {}
  backend "127.0.0.1:5001" {}
  backend "127.0.0.1:5002" {}

  health {
    path     = "/"
    status   = "200-399"
    interval = "2s"
    timeout  = "1s"
    rise     = 2
    fall     = 3
  }

  # A replica that fails requests is taken out before its next probe.
  eject {
    failures = 5
    duration = "10s"
  }

  # A failed request is retried up to twice if that is safe.
  retry {
    attempts = 2
    on       = ["connect", "reset", "503"]
  }
}
