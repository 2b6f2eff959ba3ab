listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/x/" {
    respond {
      status = 99
      body = 1
      content_type = "a\nb"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
