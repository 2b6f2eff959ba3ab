listen ":8080" {}
site "a" {
  route "/" {
    proxy {
      pool = "one"
    }
  }
  route "/b" {
    proxy {
      pool = "two"
    }
  }
  route "/c" {
    proxy {
      pool = "three"
    }
  }
  route "/d" {
    proxy {
      pool = "four"
    }
  }
}
pool "one" {
  protocol = "h2"
  backend "127.0.0.1:5000" {}
}
pool "two" {
  protocol = "h2c"
  backend "127.0.0.1:5000" {}
  tls {}
}
pool "three" {
  protocol       = "h2c"
  proxy_protocol = "v2"
  backend "127.0.0.1:5000" {}
}
pool "four" {
  protocol = "http2"
  backend "127.0.0.1:5000" {}
}
