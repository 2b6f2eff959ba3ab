listen ":8080" {}
site "app" {
  route "/a" {
    mirror {}
    proxy {
      pool = "app"
    }
  }
  route "/b" {
    mirror {
      pool     = "nxt"
      share    = 1.5
      max_body = "1GiB"
      limit    = 0
      timeout  = "0s"
    }
    proxy {
      pool = "app"
    }
  }
  route "/c" {
    mirror {
      pool = "app"
    }
    proxy {
      pool = "app"
    }
  }
  route "/d" {
    mirror {
      pool  = "next"
      share = -0.1
    }
    proxy {
      split = {
        "app"  = 1
        "next" = 1
      }
    }
  }
  route "/e" {
    mirror {
      pool = "next"
    }
    respond {}
  }
}
pool "app" {
  backend "127.0.0.1:1" {}
}
pool "next" {
  backend "127.0.0.1:2" {}
}
