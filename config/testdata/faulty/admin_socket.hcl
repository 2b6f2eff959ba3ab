listen ":8080" {}

admin {
  listen = "unix:/no/such/folder/admin.sock"
}

site "s" {
  route "/" {
    respond {}
  }
}
