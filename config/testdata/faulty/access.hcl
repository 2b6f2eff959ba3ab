listen ":8080" {}
site "app" {
  route "/" {
    allow = ["10.0.0.0/8", "localhost"]
    deny = ["1.2.3"]
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
