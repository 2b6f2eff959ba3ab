listen ":8080" {}
shutdown {
  grace = "30 seconds"
  delay = "1d"
}
limits {
  idle_timeout = ""
  header_timeout = 10
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
