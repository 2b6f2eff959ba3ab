listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "ap"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
