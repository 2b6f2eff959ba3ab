listen ":8080" {}
site "app" {
  maintenance {}
  error_page {
    status = [200, 404, "x"]
    file = "../files/missing.html"
  }
  error_page {
    status = [404]
  }
  error_page {
    file = "../files"
    status = []
  }
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
site "two" {
  hosts = ["b.example"]
  maintenance {
    page = "../files/missing.html"
  }
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
