package config

import "testing"

func TestRedirectTarget(t *testing.T) {
	for to, bad := range map[string]bool{
		"/new/{rest}": false, "/{rest}": false, "/new{rest}": false, "{path}": false, "{path}?x={rest}": false, "new/{rest}": false,
		"https://a.example/{rest}": false, "https://a.example{path}": false, "https://a.example:8443{path}": false, "//a.example/{rest}": false,
		"https://a.example?to={rest}": false, "https://a.example/x?{path}": false, "https://a.example": false, "?{rest}": false,
		"https://a.example{rest}": true, "https://a.example:{rest}": true, "https://a.example:80{rest}": true, "https://{rest}": true, "https://{path}": true, "https:///{rest}": true, "///{rest}": true,
		"//{rest}": true, "//a.example{rest}": true, `\\a.example{rest}`: true, `/\{rest}`: true, "//{path}": true, "https://user@{rest}": true, "https://user@{path}": true,
		"{rest}": true, "https:{rest}": true, "https:/{rest}": true, "https:{path}": true, "h{rest}": true, "javascript:{rest}": true,
	} {
		if problem, remedy := redirectTarget(to); (problem != "") != bad || bad && remedy == "" {
			t.Errorf("%s: %q, %q", to, problem, remedy)
		}
	}
}
