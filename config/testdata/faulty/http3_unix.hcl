listen "unix:/run/lb.sock" {
  http3 = true
}
site "s" {
  route "/" {
    respond {
      status = 204
    }
  }
}
