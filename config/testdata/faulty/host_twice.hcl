listen ":8080" {}
site "app" {
  hosts = ["a.example", "A.example."]
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
site "two" {
  hosts = ["b.example", "a.example"]
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
