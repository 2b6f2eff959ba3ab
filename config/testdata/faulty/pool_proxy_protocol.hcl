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
  proxy_protocol = "V2"
}
pool "two" {
  backend "127.0.0.1:5000" {}
  proxy_protocol = true
}
pool "three" {
  backend "127.0.0.1:5000" {}
  proxy_protocol = 1
}
