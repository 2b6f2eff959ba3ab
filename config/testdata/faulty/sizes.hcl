listen ":8080" {}
static_cache {
  memory = "1MiB"
  max_file = "2MiB"
}
limits {
  body_size = "8 megs"
  header_size = "1GiB"
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
