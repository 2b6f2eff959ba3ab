listen ":8080" {}
site "app" {
  route "/a" {
    forward_auth {}
    respond {}
  }
  route "/b" {
    forward_auth {
      pool         = "aut"
      path         = "verify"
      copy_headers = ["X-Request-Id", "Host", "Content-Length", "X User"]
    }
    ambiguous_paths = "allow"
    respond {}
  }
  route "/c" {
    forward_auth {
      pool = "auth"
      path = "/%zz"
    }
    respond {}
  }
  route "/d" {
    forward_auth {
      pool = "fast"
    }
    respond {}
  }
}
pool "auth" {
  backend "127.0.0.1:9091" {}
}
pool "fast" {
  protocol = "h2c"
  backend "127.0.0.1:9092" {}
}
