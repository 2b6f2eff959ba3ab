listen "unix:/tmp/lb.sock" {}
admin {
  listen = "unix:/tmp//lb.sock"
}
site "clock" {
  route "/" {
    respond {
      status = 200
    }
  }
}
