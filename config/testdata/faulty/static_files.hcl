listen ":8080" {}
site "app" {
  route "/" {
    static {
      root      = "../files"
      immutable = ["/assets/*", "*.woff2", "assets/*", "", "*.{css,js}"]
      cache_control_for = {
        "*.html"  = "no-cache"
        "*.css"   = 5
        "a/b"     = "no-cache"
        "*.js"    = "a\nb"
        "*.HTML"  = "public"
      }
      browse = "yes"
    }
  }
}
