# A clock: one web application on this machine, with its images from disk.
#
# The application is a Flask server on port 5000. Requests for images do not
# reach it: lb serves them from /var/www/pyclock/images. While the application
# is down, visitors get the maintenance page.

listen ":80" {}

site "clock" {
  maintenance {
    page = "/var/www/pyclock/maintenance.html"
    file = "/run/lb/maintenance" # create it to show the maintenance page
  }

  # /images/clock.png is the file /var/www/pyclock/images/clock.png.
  route "/images/" {
    static {
      root          = "/var/www/pyclock"
      cache_control = "public, max-age=3600"
    }
  }

  route "/" {
    proxy {
      pool = "app"
    }
  }
}

pool "app" {
  backend "127.0.0.1:5000" {}

  health {
    type = "http"
    path = "/"
  }
}
