listen ":8080" {}
limits {
  header_tmeout = "1s"
  zzz = 1
}
log {
  leve = "info"
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
