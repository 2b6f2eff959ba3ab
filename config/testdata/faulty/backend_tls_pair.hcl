listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
  tls {
    cert = "../files/site.pem"
    key = "../files/other.key"
  }
}
