listen ":8080" {}
log {
  level = "info"
}
log {
  level = "debug"
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
