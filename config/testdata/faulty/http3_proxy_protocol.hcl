trusted_proxies = ["192.0.2.1"]
listen ":443" {
  http3          = true
  proxy_protocol = true
}
site "s" {
  route "/" {
    respond {
      status = 204
    }
  }
}
