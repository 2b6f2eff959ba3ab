listen ":8080" {}
log {
  level = "warning"
  format = "xml"
  file = "nowhere/lb.log"
}
access_log {
  format = "comined"
  sample = 1.5
  file = ""
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
