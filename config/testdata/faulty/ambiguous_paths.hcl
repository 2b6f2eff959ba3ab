listen ":8080" {}

site "s" {
  route "/" {
    ambiguous_paths = "allow"
    deny            = ["10.0.0.0/8"]
    respond {}
  }
  route "/a/" {
    ambiguous_paths = "alow"
    respond {}
  }
}
