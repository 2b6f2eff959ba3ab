listen ":8080" {}
log {
  level = 3
  file = ["x"]
}
limits {
  max_connections = "many"
  connections_per_ip = 1.5
  body_size = true
  idle_timeout = []
}
trusted_proxies = "10.0.0.0/8"
access_log {
  sample = "all"
}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
