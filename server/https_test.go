package server

import "testing"

func TestHTTPSPort(t *testing.T) {
	for _, c := range []struct {
		addresses []string
		want      string
	}{
		{nil, ""},
		{[]string{":443"}, ""},
		{[]string{"[::]:8443"}, ":8443"},
		{[]string{"127.0.0.1:8443", ":9443"}, ":8443"},
		{[]string{":8443", "0.0.0.0:443"}, ""},
		{[]string{"unix:/run/a:8443", ":0", ":9443"}, ":9443"},
	} {
		if got := httpsPort(c.addresses); got != c.want {
			t.Errorf("%q: %q, want %q", c.addresses, got, c.want)
		}
	}
}
