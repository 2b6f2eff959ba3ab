# A web application on this machine for everybody, by HTTPS alone.
#
# Replace clock.example.com by a name that leads to this machine, whose ports
# 80 and 443 must be reachable from outside. lb then obtains a certificate from
# Let's Encrypt, whose terms you accept by that, and renews it. What is missing:
# lb check -config https.hcl

listen ":443" {
  tls {
    acme {
      domains = ["clock.example.com"]
      email   = "admin@example.com"
      storage = "/var/lib/lb/acme"
    }
  }
}

listen ":80" {
  redirect_https = true
}

site "clock" {
  hosts = ["clock.example.com"]

  route "/" {
    # Browsers that were here within the last year use https at once (HSTS). They
    # cannot come by http then: begin with a few minutes, max-age=300.
    response_headers {
      set = {
        "Strict-Transport-Security" = "max-age=31536000"
      }
    }
    proxy {
      pool = "app"
    }
  }
}

pool "app" {
  backend "127.0.0.1:5000" {}

  health {
    path = "/"
  }
}
