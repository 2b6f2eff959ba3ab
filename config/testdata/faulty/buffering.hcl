listen ":80" {}
site "a" {
  route "/a" {
    proxy {
      pool            = "app"
      buffer_request  = "1KiB"
      buffer_response = "2GiB"
      buffer_dir      = "nowhere"
    }
  }
  route "/b" {
    proxy {
      pool           = "app"
      buffer_request = true
      buffer_dir     = "buffering.hcl"
      timeouts {
        response = "1"
        idle     = "0s"
        connect  = "1s"
      }
    }
  }
  route "/c" {
    proxy {
      pool       = "app"
      buffer_dir = "."
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
