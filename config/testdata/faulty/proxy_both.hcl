listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/x/" {
    proxy {
      pool = "app"
      split = { "app" = 1 }
      rewrite = "v2{pth}"
      host = "a b"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
