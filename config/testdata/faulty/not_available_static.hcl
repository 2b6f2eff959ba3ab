listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/x/" {
    static {
      root = "../files"
      browse = true
      compress = true
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
