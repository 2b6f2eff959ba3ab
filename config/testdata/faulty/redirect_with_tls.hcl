listen ":443" {
  redirect_https = true
  tls {
    certificate {
      cert = "../files/site.pem"
      key  = "../files/site.key"
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
