listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
  panic_threshold = 50
  queue {
    limit = -1
    timeout = "0s"
  }
  timeouts {
    connect = "0s"
    response = "-1s"
    idle = "soon"
  }
  keepalive {
    max_idle = -1
    idle_timeout = "0s"
    max_requests = -1
  }
}
