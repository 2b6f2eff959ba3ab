listen ":8080" {}
site "app" {
  route "/" {
    compress {
      types    = ["text/html", "text", "*/*", "*+json", "+xml", "text/h*", "application/grpc", ""]
      min_size = "-1"
      level    = 9
      quality  = 3
    }
    proxy {
      pool = "app"
    }
  }
  route "/both/" {
    compress = true
    compress {
      types = []
    }
    proxy {
      pool = "app"
    }
  }
  route "/files/" {
    compress = true
    static {
      root = "../files"
    }
  }
  route "= /ping" {
    compress {}
    respond {}
  }
  route "/wrong/" {
    compress = "gzip"
    proxy {
      pool = "app"
    }
  }
  route "/off/" {
    compress = false
    respond {}
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
