listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/x/" {
    respond {
      status = 204
      body = "x"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
