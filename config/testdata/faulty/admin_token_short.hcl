listen ":8080" {}

# 16 characters are needed where other machines can guess.
admin {
  listen = "10.0.0.1:9900"
  token  = "123456789012345"
}

site "app" {
  route "/" {
    respond {}
  }
}
