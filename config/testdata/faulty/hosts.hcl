listen ":8080" {}
site "app" {
  hosts = ["clock.example.com:80", "*", "*.*.org", "Bücher.example", "https://a.example/", "", "a_b.example", "[::1]", 5, "x..y"]
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
