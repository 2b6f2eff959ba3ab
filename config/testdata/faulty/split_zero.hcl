listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/x/" {
    proxy {
      split = { "app" = 0 }
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
