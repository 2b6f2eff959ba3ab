listen ":8080" {}

site "app" {
  route "/old/" {
    redirect {
      to = "https://new.example.com{rest}"
    }
  }
  route "/go/" {
    redirect {
      to = "{rest}"
    }
  }
}
