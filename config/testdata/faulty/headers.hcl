listen ":8080" {}
site "app" {
  route "/" {
    headers = { "bad name" = "x", "X-A" = 1, "X-B" = "a\nb", "X-C" = "1", "x-c" = "2" }
    request_headers {
      set = { Host = "x", Connection = "close" }
      remove = ["Content-Length", ""]
    }
    response_headers {
      add = ["x"]
      set = { date = "x", X-Request-Id = "x", "content-range" = "x", Transfer-Encoding = "chunked" }
      remove = ["X-Request-ID", "Content-Range", "Date"]
    }
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
