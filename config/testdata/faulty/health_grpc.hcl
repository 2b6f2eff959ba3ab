listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "unix:/run/app.sock" {}
  health {
    type    = "http2"
    port    = 9000
    service = "app.v1.App/Check"
  }
}
pool "service" {
  backend "127.0.0.1:5000" {}
  health {
    service = "app"
  }
}
pool "path" {
  backend "127.0.0.1:5000" {}
  health {
    type   = "grpc"
    path   = "/"
    status = "200"
    port   = 65536
  }
}
pool "tls" {
  backend "127.0.0.1:5000" {}
  health {
    tls {
      enabled = "no"
      port    = 1
      cert    = "a.pem"
    }
  }
}
