listen ":8080" {}
site "app" {
  route "/a" {
    basic_auth {
      users_file = "missing"
      realm      = "café"
    }
    respond {}
  }
  route "/b" {
    basic_auth {
      users_file = "../files/users-apr1"
    }
    ambiguous_paths = "allow"
    respond {}
  }
  route "/c" {
    basic_auth {}
    respond {}
  }
}
