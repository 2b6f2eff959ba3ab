listen ":8080" {}
limits {
  max_connections = -1
  header_size = "10"
  header_timeout = "0s"
  body_size = "-1"
  body_idle_timeout = "60"
  idle_timeout = "-5s"
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
