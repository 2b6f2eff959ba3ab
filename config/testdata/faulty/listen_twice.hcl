listen ":8080" {}
listen "0.0.0.0:8080" {}
listen "[::1]:90" {}
listen "[0:0::1]:90" {}
listen "127.0.0.1:9900" {}
listen "127.0.0.1:0" {}
listen "127.0.0.1:0" {}
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
