listen ":443" {
  http2 = true
  tls {
    certificate {
      cert = "c.pem"
      key  = "k.pem"
    }
  }
}
site "s" {
  route "/" {
    respond {
      status = 204
    }
  }
}
