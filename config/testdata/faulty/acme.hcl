listen ":443" {
  tls {
    acme {
      storage = "."
      domains = []
      email   = "ops"
    }
  }
}
listen ":8443" {
  tls {
    acme {
      storage = "."
      domains    = ["*.example.com", "192.0.2.1", "not a name"]
      challenges = ["http-01", "dns-02"]
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
