listen ":443" {
  http3 = true
}
site "s" {
  route "/" {
    respond {
      status = 204
    }
  }
}
