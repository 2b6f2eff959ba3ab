listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/x/" {
    static {
      root = "../files/site.pem"
      index = ["a/b"]
      try_files = ["=404", "{pth}", "../x", "{path", "=200", "x.html"]
      cache_control = "a\r\nb"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
