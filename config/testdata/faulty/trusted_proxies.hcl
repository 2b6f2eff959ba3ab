listen ":8080" {}
trusted_proxies = ["10.0.0.0/33", "10.0.0.1", "fe80::/10", "private", 7]
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
