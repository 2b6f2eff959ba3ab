listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {}
