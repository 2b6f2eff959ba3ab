listen ":8080" {}
site "app" {
  route "/" {
    methods = ["GET"]
    proxy {
      pool = "app"
    }
  }
  route "/" {
    methods = ["POST"]
    proxy {
      pool = "app"
    }
  }
  route "/" {
    methods = ["POST", "GET"]
    headers = { "X-A" = "1" }
    proxy {
      pool = "app"
    }
  }
  route "/a/" {
    proxy {
      pool = "app"
    }
  }
  route "/a/" {
    headers = { "X-A" = "1" }
    proxy {
      pool = "app"
    }
  }
  route "/b/../c/" {
    proxy {
      pool = "app"
    }
  }
  route "//d" {
    proxy {
      pool = "app"
    }
  }
  route "/e/*" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
