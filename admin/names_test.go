package admin

import (
	"fmt"
	"testing"
)

func TestSuggestedName(t *testing.T) {
	known := []string{"127.0.0.1:5000", "127.0.0.1:5001", "[::1]:6000"}
	const list = " There are: 127.0.0.1:5000, 127.0.0.1:5001, [::1]:6000"
	for name, want := range map[string]string{
		"127.0.0.1:500":   `; did you mean "127.0.0.1:5000"?` + list,
		"localhost:5001":  `; did you mean "127.0.0.1:5001"?` + list,
		"6000":            `; did you mean "[::1]:6000"?` + list,
		"unknown":         "." + list,
		"":                "." + list,
		"10.0.0.7:9999":   "." + list,
		"other-host:5001": `; did you mean "127.0.0.1:5001"?` + list,
	} {
		if got := instead(name, known); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
	if got := instead("x", nil); got != ": there is none" {
		t.Error(got)
	}
	var many []string
	for i := range 12 {
		many = append(many, fmt.Sprint("pool-", 100+i))
	}
	if got := instead("app", many); got != ". There are: pool-100, pool-101, pool-102, pool-103, pool-104, pool-105, pool-106, pool-107, pool-108, pool-109 and 2 more" {
		t.Error(got)
	}
}
