package server_test

import "testing"

// TestRedirectOfTheWholeServer: "OPTIONS *" has no path, so its redirect leads to the root, not to a host name that ends with an
// asterisk.
func TestRedirectOfTheWholeServer(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"redirect_https": {"listen \"127.0.0.1:0\" {\n  redirect_https = true\n}\n" + sitesOK, "https://shop.example/"},
		"{path}":         {"site \"s\" {\n  route \"/\" {\n    redirect { to = \"https://new.example{path}\" }\n  }\n}\n", "https://new.example/"},
		"{rest}":         {"site \"s\" {\n  route \"/\" {\n    redirect { to = \"https://new.example/{rest}\" }\n  }\n}\n", "https://new.example/"},
	} {
		lb := start(t, c.text)
		conn := lb.dial()
		conn.Send("OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n")
		if r := conn.ReadResponse("OPTIONS"); r.Status() != 308 || r.Field("Location") != c.want {
			t.Errorf("%s: %q, want %s", name, r.Head, c.want)
		}
	}
}
