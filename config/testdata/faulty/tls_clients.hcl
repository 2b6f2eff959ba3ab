listen ":443" {
  tls {
    client_verify = "optional"
    session_keys  = "../files/text.txt"
    acme {
      domains = ["a.example"]
      storage = "."
    }
  }
}
listen ":444" {
  tls {
    client_verify = "never"
    session_keys  = "missing"
    ech_keys      = "../files/text.txt"
    acme {
      domains = ["a.example"]
      storage = "."
    }
  }
}
site "app" {
  route "/" {
    respond {}
  }
}
