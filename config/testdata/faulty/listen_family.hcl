listen "0.0.0.0:8080" {}
listen "[::]:8080" {}
listen "0.0.0.0:8081" {}
listen "[::]:8081" {
  ipv6_only = true
}
listen "[::1]:8082" {}
listen "0.0.0.0:8082" {}
listen "[::1]:8083" {}
listen "[::]:8083" {
  ipv6_only = true
}
listen ":8084" {
  ipv6_only = true
}
listen "0.0.0.0:8085" {
  ipv6_only = true
}
listen "[::]:9900" {}
site "s" {
  route "/" {
    respond {}
  }
}
