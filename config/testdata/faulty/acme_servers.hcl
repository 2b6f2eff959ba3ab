listen ":443" {
  tls {
    acme {
      domains   = ["clock.example.com"]
      directory = "http://acme.example.com/directory"
      storage   = "redis://127.0.0.1:6379"
      fallback {
        ca = "missing.pem"
        eab {
          hmac = "no key!"
        }
      }
      on_demand {
        ask = "127.0.0.1:5000"
      }
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
