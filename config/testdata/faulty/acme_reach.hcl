listen ":8080" {}
listen ":8443" {
  tls {
    acme {
      domains = ["clock.example.com"]
      storage = "."
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
