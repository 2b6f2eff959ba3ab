listen ":8080" {}

site "app" {
  route "/api/*" {
    respond {}
  }
  route "/*" {
    respond {}
  }
  route "= /a*" {
    respond {}
  }
  route "/users/{id}" {
    respond {}
  }
  route "/b/*.php" {
    respond {}
  }
}
