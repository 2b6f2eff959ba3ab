listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
  retry {
    attempts = -1
    budget = 1.1
    on = ["conect", "500", 503]
    body = "-1"
  }
}
