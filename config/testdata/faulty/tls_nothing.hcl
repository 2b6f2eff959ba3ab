listen ":443" {
  tls {}
}
listen ":444" {
  tls {
    certificate {}
    min_version = "1.1"
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
