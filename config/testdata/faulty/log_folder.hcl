listen ":8080" {}

log {
  file = "/"
}
access_log {
  file = "../files"
}

site "s" {
  route "/" {
    respond {}
  }
}
