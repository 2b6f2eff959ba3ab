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
  backend "127.0.0.1" {}
  backend "5000" {}
  backend ":5000" {}
  backend "http://127.0.0.1:5000/" {}
  backend "https://b" {}
  backend "127.0.0.1:0" {}
  backend "2001:db8::1" {}
  backend "127.0.0.1:http" {}
  backend "unix:x" {}
  backend "/run/x.sock" {}
}
