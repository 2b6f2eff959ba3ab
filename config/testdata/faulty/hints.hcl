listen ":8080" {}
site "app" {
  route "/" {
    hints = ["/app.css", "/a.woff2?v=1", "https://cdn.example.com", "app.css", "//cdn/app.css", "/page", "", "/a>b.css", "https://a/b.css", "https://u@a", "/a b.css", "/ä.css", "ftp://a/b.css"]
    respond {}
  }
}
