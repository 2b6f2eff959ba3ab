listen ":443" {
  tls {
    acme {
      domains    = ["192.0.2.1", "a.example.com"]
      challenges = ["dns-01", "http-01"]
      storage    = "acme.hcl"
      dns {
        provider = "example"
        token    = "secret"
      }
    }
  }
}
listen ":444" {
  tls {
    acme {
      storage = "."
      domains    = ["a.example.com"]
      challenges = ["dns-01"]
    }
  }
}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
