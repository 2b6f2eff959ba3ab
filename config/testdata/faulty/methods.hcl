listen ":8080" {}
site "app" {
  route "/" {
    methods = ["get", "B@D", 1]
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
