listen ":8080" {}
limits = {
  body_size = 0
}
trusted_proxies {}
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
