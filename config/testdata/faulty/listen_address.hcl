listen "8080" {}
listen "127.0.0.1" {}
listen "http://localhost:80/x" {}
listen "https://localhost" {}
listen ":99999" {}
listen "a b:80" {}
listen "unix:lb.sock" {}
listen "::1" {}
listen "" {}
listen "/run/lb.sock" {}
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
