listen {}
listen ":1" ":2" {}
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
pool {
}
limits "x" {}
log "y" {
  level = "info"
}
