# Three replicas of one application, each asked for its health, the least busy
# one first. Metrics are at http://127.0.0.1:9900/metrics, the dashboard at
# http://127.0.0.1:9900/.

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

  # A replica that fails real requests leaves before its next probe.
  eject {
    failures = 5
    duration = "10s"
  }

  # A request that can be sent again without harm is, once or twice.
  retry {
    attempts = 2
    on       = ["connect", "reset", "503"]
  }
}
