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
  discover "dsn" {}
  discover "dns" {
    name = "app:80"
    interval = "1ms"
    resolver = "127.0.0.1"
  }
  discover "dns" {
    port = 70000
    type = "AAAA"
  }
  discover "file" {}
  discover "file" {
    path = "missing.backends"
  }
  discover "dns" {
    name = "_http._tcp.app.internal"
    type = "SRV"
    port = 80
  }
  discover "docker" {
    port = 0
    socket = 1
  }
  discover "consul" {
    address = "http://127.0.0.1:8500"
    token = "a\nb"
  }
}
