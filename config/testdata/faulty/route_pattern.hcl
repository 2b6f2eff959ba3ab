listen ":8080" {}
site "app" {
  route "images/" {
    proxy {
      pool = "app"
    }
  }
  route "" {
    proxy {
      pool = "app"
    }
  }
  route "~ ^/x" {
    proxy {
      pool = "app"
    }
  }
  route "/a?b=c" {
    proxy {
      pool = "app"
    }
  }
  route "/a%20b" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
