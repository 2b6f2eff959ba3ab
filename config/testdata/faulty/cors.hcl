listen ":8080" {}
site "app" {
  route "/a" {
    cors {
      origins = ["https://app.example/path", "app.example", "https://*.example.org", "HTTPS://x.example", "null"]
      methods = ["get"]
      headers = ["X A"]
    }
    allow_file = "missing"
    deny_file  = "../files/text.txt"
    respond {}
  }
  route "/b" {
    cors {
      origins     = ["*"]
      credentials = true
    }
    allow_file = ""
    respond {}
  }
  route "/c" {
    cors {}
    respond {}
  }
  route "/d" {
    cors {
      origins = ["*", "https://a.example"]
    }
    respond {}
  }
}
