listen "127.0.0.1:8080" {}
listen ":8080" {}
listen "localhost:8081" {}
listen "127.0.0.1:8081" {}
listen "[::]:8082" {}
listen "app.internal:8082" {}
listen "0.0.0.0:9900" {}
listen "[::1]:8081" {}
listen "unix:/no/such/folder/lb.sock" {}
listen "unix:/dev/null" {}
listen "unix:/dev/null/lb.sock" {}

site "s" {
  route "/" {
    respond {}
  }
}
