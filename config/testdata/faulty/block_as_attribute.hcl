listen ":8080" {}
limits = {
  body_size = 0
}
trusted_proxies {}
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
pool "plain" {
  backend "127.0.0.1:5000" {}
  health {
    tls = false
  }
}
pool "secure" {
  backend "127.0.0.1:5000" {}
  health {
    tls = true
  }
}
