listen ":8080" {}
admin {
  token = env("LB_TEST_UNSET")
}
log {
  level = env("LB_TEST_UNSET", "loud")
  format = env("A", "b", "c")
  file = file("missing.txt")
}
shutdown {
  grace = envv("X")
  delay = env()
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
