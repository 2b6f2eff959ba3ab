listen ":8080" {}
site "app" {
  route "~ ^/a(" {
    respond {}
  }
  route "~* \\.php$" {
    respond {}
  }
  route "~" {
    respond {}
  }
  route "~ ^/(?!x)" {
    respond {}
  }
  route "^/b" {
    respond {}
  }
  route "~ ^/c/(?P<id>[0-9]+)/(.*)$" {
    redirect {
      to = "/new/{id}/{2}/{3}"
    }
  }
  route "~ ^/d/([0-9]+)$" {
    query = {
      "v" = 5
    }
    proxy {
      pool         = "app"
      rewrite      = "/{1}{rest}"
      strip_prefix = true
    }
  }
  route "~ ^/e/(.*)$" {
    redirect {
      to = "https://{1}/x"
    }
  }
  route "~ ^/f/(.*)$" {
    redirect {
      to = "https://new.example.com/{1}"
    }
  }
  route "~^/f/(.*)$" {
    respond {}
  }
  route "/g" {
    query = {
      "a" = "1"
    }
    redirect {
      to = "/{1}"
    }
  }
  route "/g" {
    respond {}
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
