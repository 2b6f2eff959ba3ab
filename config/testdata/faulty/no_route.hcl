listen ":8080" {}
site "app" {}
pool "app" {
  backend "127.0.0.1:5000" {}
}
