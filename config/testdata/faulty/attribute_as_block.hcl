listen ":8080" {}
site "app" {
  route "/" {
    request_headers {
      set {
        a = "b"
      }
    }
    proxy = {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
