listen ":8080" {}
site "app" {
  route "/a" {
    jwt {}
    respond {}
  }
  route "/b" {
    jwt {
      jwks              = "ftp://login.example.com/keys"
      claims_to_headers = { "X-Request-Id" = "sub" }
    }
    ambiguous_paths = "allow"
    respond {}
  }
  route "/c" {
    jwt {
      jwks     = "../files/text.txt"
      audience = "clock"
    }
    respond {}
  }
  route "/d" {
    jwt {
      jwks = "https://login.example.com/keys"
    }
    respond {}
  }
  route "/f" {
    basic_auth {
      users_file = "missing"
    }
    jwt {
      jwks     = "https://login.example.com/keys"
      audience = "clock"
    }
    respond {}
  }
  route "/e" {
    jwt {
      jwks   = "missing.json"
      issuer = "https://login.example.com"
    }
    respond {}
  }
}
