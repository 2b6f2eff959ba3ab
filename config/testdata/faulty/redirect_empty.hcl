listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/x/" {
    redirect {
      status = 304
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
