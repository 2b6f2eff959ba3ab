listen ":8080" {}
site "app" {
  route "/" {
    basic_auth {
      users_file = "missing"
    }
    rate_limit {
      rate = "100/s"
    }
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
