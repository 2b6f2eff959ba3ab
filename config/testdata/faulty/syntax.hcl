listen ":8080" {}
site "app" {
  route "/" {
