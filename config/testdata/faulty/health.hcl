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
  health {
    type = "https"
    path = "health"
    method = "get"
    host = "a b"
    status = "200-700"
    interval = "1ms"
    fast_interval = "0s"
    timeout = "-1s"
    jitter = 2
    rise = 0
    fall = 0
  }
}
