listen "{{.Listen}}" {}

admin {
  listen = "{{.Admin}}"
}

access_log {
  format = "off"
}

site "clock" {
  route "/images/" {
    static {
      root = "{{.Root}}"
    }
  }

  route "/" {
    proxy {
      pool = "app"
    }
  }
}

pool "app" {
  balance = "round_robin"
{{range .Backends}}
  backend "{{.}}" {}
{{- end}}

  health {
    path     = "/healthz"
    interval = "1s"
  }
}
