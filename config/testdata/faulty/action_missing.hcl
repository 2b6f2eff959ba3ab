listen ":8080" {}
site "app" {
  route "/" {}
  route "/a/" {
    static {
      root = "../files"
    }
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
