listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "= /a" {
    proxy {
      pool = "app"
    }
  }
  route "=/a" {
    proxy {
      pool = "app"
    }
  }
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/" {
    methods = ["GET", "POST"]
    proxy {
      pool = "app"
    }
  }
  route "/" {
    methods = ["POST", "GET"]
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
