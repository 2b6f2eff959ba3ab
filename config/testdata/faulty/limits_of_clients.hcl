listen ":8080" {}
site "app" {
  route "/" {
    rate_limit {
      key   = "ip"
      rate  = "100"
      burst = 0
    }
    rate_limit {
      rate       = "2000000/s"
      redis      = "http://:secret@127.0.0.1"
      redis_down = "shut"
    }
    rate_limit {
      redis      = "redis://127.0.0.1?password=secret"
    }
    rate_limit {
      redis_down = "closed"
    }
    concurrency {
      key   = "header:"
      limit = 0
      max   = 1
    }
    concurrency {
      key = "jwt:sub"
    }
    respond {}
  }
}
