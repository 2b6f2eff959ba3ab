listen ":443" {
  tls {
    certificate {
      cert = "../files/missing.pem"
      key  = "../files"
    }
    certificate {
      cert = "../files/site.pem"
      key  = "../files/other.key"
    }
    certificate {
      cert = "../files/text.txt"
      key  = "../files/site.key"
    }
    client_ca = "../files/text.txt"
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
