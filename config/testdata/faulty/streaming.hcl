listen ":80" {}
site "a" {
  route "/streams" {
    proxy {
      pool = "few"
    }
  }
  route "/splits" {
    proxy {
      split = {
        "many" = 95
        "few"  = 5
      }
    }
  }
  route "/buffers" {
    proxy {
      pool           = "few"
      buffer_request = "1MiB"
    }
  }
  route "/means-it" {
    proxy {
      pool           = "few"
      buffer_request = 0
    }
  }
  route "/" {
    proxy {
      pool = "many"
    }
  }
}
pool "few" {
  backend "127.0.0.1:5000" {}
  backend "127.0.0.1:5001" {
    max_conns = 16
  }
}
pool "many" {
  backend "127.0.0.1:5000" {
    max_conns = 17
  }
}
