package config

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var everyBreak = flag.Bool("every-break", false, "break sources with secrets in every way, which takes minutes")

// canary is a secret. No four characters of it occur in a diagnostic by chance.
const canary = "Zq7Xw9Kp2Vb4"

// leak returns a part of the canary that a text has.
func leak(text string) string {
	for i := 0; i+4 <= len(canary); i++ {
		if strings.Contains(text, canary[i:i+4]) {
			return canary[i : i+4]
		}
	}
	return ""
}

// TestBrokenSourcesHideSecrets: no diagnostic of a broken source shows the value of a secret attribute, of a header
// field, or of an unknown name.
func TestBrokenSourcesHideSecrets(t *testing.T) {
	step := 150
	if *everyBreak {
		step = 1
	}
	random := rand.New(rand.NewPCG(1, 2))
	tried := 0
	for _, source := range sourcesWithSecret(t) {
		from := max(0, strings.Index(source, canary)-90)
		to := min(len(source), strings.Index(source, canary)+len(canary)+60)
		breaks := breaksOf(source[from:to])
		for i := random.IntN(step); i < len(breaks); i += 1 + random.IntN(2*step-1) {
			text := source[:from] + breaks[i] + source[to:]
			_, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(text)}}, WithoutFileChecks())
			tried++
			if part := leak(found.String()); part != "" {
				t.Errorf("%q of the secret is shown. The source:\n%s\nThe diagnostics:\n%s", part, text, found)
				break
			}
		}
	}
	t.Logf("%d sources", tried)
	if tried < 1000 {
		t.Errorf("only %d sources were tried", tried)
	}
}

// breaksOf returns a text with each of its bytes removed, and with each of some marks at each place.
func breaksOf(text string) (list []string) {
	for i := range len(text) {
		list = append(list, text[:i]+text[i+1:])
		for _, insert := range []string{`"`, "{", "}", "[", "]", "(", ")", "=", ",", ";", "\n", " ", "#", "/*", "'", "“", ":", "${", "%{", "\\", "<<E\n", "x"} {
			list = append(list, text[:i]+insert+text[i:])
		}
	}
	return list
}

// sourcesWithSecret returns configurations with the canary as the value of each secret attribute, of header fields
// and of unknown names, in the usual layouts.
func sourcesWithSecret(t *testing.T) (list []string) {
	v := (&options{}).language()
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(v.attributes)) {
		for _, name := range v.attributes[kind] {
			switch {
			case v.secrets[name]:
				kinds = append(kinds, kind+"."+name)
				for _, value := range []string{canary, "redis://:" + canary + "@10.0.0.1/0", canary + "==", canary[:6] + "," + canary[6:], "a " + canary} {
					list = append(list, layouts(v, kind, fmt.Sprintf("%s = %q", name, value))...)
				}
				list = append(list, layouts(v, kind, fmt.Sprintf("%s = env(\"LB_X\", %q)", name, canary))...)
				list = append(list, layouts(v, kind, name+" = <<EOT\n"+canary+"\nEOT")...)
			case v.headers[name]:
				list = append(list, layouts(v, kind, fmt.Sprintf(`%s = { "Authorization" = "Bearer %s" }`, name, canary))...)
				list = append(list, layouts(v, kind, fmt.Sprintf(`%s = { Authorization = "%s", X-A = "b" }`, name, canary))...)
				list = append(list, layouts(v, kind, fmt.Sprintf("%s = {\n  X-A = \"b\"\n  \"X-Api-Key\" = \"%s\"\n}", name, canary))...)
			}
		}
	}
	for _, want := range []string{"admin.token", "discover.token", "sticky.secret", "rate_limit.redis"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("%s is not known to be secret: %v", want, kinds)
		}
	}
	for _, unknown := range []string{"tokn = %q", "password = [%q]", "users = { admin = %q }", "token %q", "auth_basic_user admin:%q"} {
		for _, kind := range []string{"", "admin", "pool", "route"} {
			list = append(list, layouts(v, kind, fmt.Sprintf(unknown, canary))...)
		}
	}
	return list
}

// layouts returns configurations with an attribute in a block of a kind, beside harmless ones.
func layouts(v *vocabulary, kind, attribute string) []string {
	before, after := wayTo(v, kind)
	var near []string
	for _, name := range slices.Sorted(slices.Values(v.attributes[kind])) {
		if !v.secrets[name] && !v.headers[name] && len(near) < 2 && !strings.HasPrefix(attribute, name) {
			near = append(near, name+` = "x"`)
		}
	}
	near = append(near, `nobody = "x"`, "anybody = 1")[:2]
	list := []string{before + near[0] + "\n" + attribute + "\n" + near[1] + "\n" + after}
	if !strings.Contains(attribute, "\n") && kind != "" {
		list = append(list, before[:len(before)-1]+" "+near[0]+", "+attribute+", "+near[1]+" "+after)
	}
	return list
}

// wayTo returns the text before and after the inside of a block of that kind.
func wayTo(v *vocabulary, kind string) (before, after string) {
	for kind != "" {
		label := ""
		switch {
		case kind == "discover":
			label = `"consul" `
		case v.labelled[kind]:
			label = labelExample(kind) + " "
		}
		before, after = kind+" "+label+"{\n"+before, after+"}\n"
		around := ""
		for _, k := range slices.Sorted(maps.Keys(v.blocks)) {
			if slices.Contains(v.blocks[k], kind) {
				around = k
				break
			}
		}
		kind = around
	}
	return before, after
}

// TestDiagnosticsHideSecrets: mistakes with a secret in each, and what the diagnostics show. "CANARY" is the secret.
func TestDiagnosticsHideSecrets(t *testing.T) {
	t.Setenv("LB_TEST_SECRET", canary)
	for name, c := range map[string]struct {
		where, text string
		shows       []string
	}{
		"a token that is too short to be safe": {"top", `admin {
  listen = "0.0.0.0:9900"
  token  = "Zq7Xw9Kp2Vb4"
}`, []string{`token  = "…"`, "it can be guessed", "openssl rand"}},
		"a misspelt name":             {"top", "admin {\n  tokn = \"CANARY\"\n}", []string{`unknown attribute "tokn"; did you mean "token"?`, `tokn = "…"`}},
		"a name of another block":     {"top", "admin {\n  key = \"CANARY\"\n}", []string{`unknown attribute "key" in admin`, `key = "…"`}},
		"a key for a secret":          {"pool", "sticky {\n  key = \"CANARY\"\n}", []string{`unknown attribute "key" in sticky`, `key = "…"`}},
		"a name that lost its end":    {"pool", `discover "consul" { to = "CANARY" }`, []string{"discover needs service", `to = "…"`}},
		"another block's heredoc":     {"pool", "sticky {\n  body = <<EOT\nCANARY${x}\nEOT\n}", []string{`unknown attribute "body"`}},
		"a map where none belongs":    {"top", "admin {\n  headers = {\n    \"X-A\" = \"CANARY\"\n  }\n}", []string{`unknown attribute "headers"`}},
		"a misspelt harmless name":    {"pool", `balanc = "CANARY"`, []string{`did you mean "balance"?`, `balanc = "…"`}},
		"no closing quote":            {"top", "admin {\n  token = \"CANARY\n}", []string{"a string without its closing quote", `Write: token = "…"`}},
		"a secret over two lines":     {"top", "admin {\n  token = \"CANARY\n  CANARY\"\n}", []string{"a string without its closing quote"}},
		"no quotes":                   {"top", "admin {\n  token = CANARY\n}", []string{"token = …", "… is not a value"}},
		"an interpolated word":        {"top", "admin {\n  token = \"${CANARY}\"\n}", []string{"is not a value"}},
		"a number":                    {"top", "admin {\n  token = 123456789\n}", []string{"token cannot be a number", `Write a string in quotes: token = "…"`}},
		"a list":                      {"top", "admin {\n  token = [\"CANARY\"]\n}", []string{"token cannot be a list"}},
		"two attributes on a line":    {"pool", `sticky { cookie = "lb", secret = "CANARY" }`, []string{`cookie = "lb"`, `secret = "…"`}},
		"a semicolon":                 {"pool", "sticky {\n  secret = \"CANARY\";\n}", []string{`secret = "…";`}},
		"twice":                       {"pool", "sticky {\n  secret = \"CANARY\"\n  secret = \"CANARY\"\n}", []string{"an attribute that is set twice"}},
		"a heredoc":                   {"pool", "sticky {\n  secret = <<EOT\nCANARY ${x}\nEOT\n}", []string{"x is not a value"}},
		"a line break":                {"pool", "discover \"consul\" {\n  service = \"app\"\n  token = \"a\\nCANARY\"\n}", []string{"token contains a line break"}},
		"an operator":                 {"pool", "discover \"consul\" {\n  service = \"app\"\n  token = \"CANARY\" + 1\n}", []string{"operand"}},
		"a header field":              {"route", "request_headers {\n  set = { \"Authorization\" = \"Bearer CANARY\", \"X-A\" = 5 }\n}", []string{"X-A cannot be a number", `"Authorization" = "…", "X-A" =`}},
		"a header field without name": {"route", "request_headers {\n  set = { \"Authorization: Basic CANARY\" = \"\" }\n}", []string{"is not a header name"}},
		"a header field's bare value": {"route", "request_headers {\n  set = { Authorization = CANARY }\n}", []string{"is not a value"}},
		"a map with colons":           {"route", "request_headers {\n  set { X-Token: CANARY }\n}", nil},
		"passwords":                   {"route", "basic_auth {\n  users = { admin = \"CANARY\" }\n}", []string{"unknown attribute \"users\" in basic_auth"}},
		"a limit's store":             {"route", "rate_limit { redis = \"redis://:CANARY@10.0.0.1/0\", rate = \"1/s\" }", []string{`redis = "…"`, `rate = "1/s"`}},
		"a backend's URL":             {"pool", `backend "http://admin:CANARY@127.0.0.1:5001/" {}`, []string{"has a scheme", "http://…@127.0.0.1:5001"}},
		"a backend without a scheme":  {"pool", `backend "admin:CANARY@127.0.0.1:5001" {}`, []string{"is not an address", "…@127.0.0.1:5001"}},
		"a redirect's URL":            {"site", "route \"/x/\" {\n  redirect {\n    to = \"https://u:CANARY@h{rest}\"\n  }\n}", []string{"https://…@h{rest}"}},
		"a query":                     {"pool", "health { path = \"healthz?api_key=CANARY\" }", []string{"does not begin with a slash", "api_key=…"}},
		"a key in place of its path":  {"top", "listen \":8443\" {\n  tls {\n    certificate {\n      cert = \"/x.pem\"\n      key  = \"-----BEGIN PRIVATE KEY-----\\nCANARY\"\n    }\n  }\n}", []string{"key is the content of a file rather than its path"}},
		"a key by a heredoc":          {"top", "listen \":8443\" {\n  tls {\n    certificate {\n      cert = \"/x.pem\"\n      key  = <<EOT\nCANARY${1+}\nEOT\n    }\n  }\n}", nil},
		"from the environment":        {"pool", `balance = env("LB_TEST_SECRET")`, []string{`balance = env("LB_TEST_SECRET")`, "Write one of: round_robin"}},
		"of a path":                   {"pool", `health { path = env("LB_TEST_SECRET") }`, []string{"does not begin with a slash"}},
		"of a duration":               {"pool", `slow_start = env("LB_TEST_SECRET")`, []string{"slow_start is not a duration"}},
		"of a list":                   {"top", `trusted_proxies = env("LB_TEST_SECRET")`, []string{"trusted_proxies cannot be a string"}},
		"of entries":                  {"top", `trusted_proxies = ["10.0.0.0/8", "${env("LB_TEST_SECRET")}x"]`, []string{"is not a network"}},
		"of a pool's name":            {"site", "route \"/x/\" {\n  proxy { pool = env(\"LB_TEST_SECRET\") }\n}", []string{"there is no pool"}},
		"of an index":                 {"pool", `balance = {}[env("LB_TEST_SECRET")]`, []string{"balance = {}[env("}},
		"of a file's name":            {"pool", `balance = file(env("LB_TEST_SECRET"))`, []string{"cannot read file"}},
		"of a variable's name":        {"pool", `balance = env(env("LB_TEST_SECRET"))`, []string{"the environment variable … is not set"}},
		"of a block":                  {"pool", `backend = "${env("LB_TEST_SECRET")}"`, []string{"backend is a block"}},
		"of a header field's name":    {"route", "headers = { (env(\"LB_TEST_SECRET\")) = 1 }", []string{"… cannot be a number"}},
		"of an address":               {"top", "admin {\n  listen = env(\"LB_TEST_SECRET\")\n}", []string{"listen"}},
		"a default":                   {"top", "admin {\n  token = env(\"LB_UNSET\", \"CANARY\") 1\n}", []string{`token = env("LB_UNSET", "…")`}},
		"a secret as a variable":      {"top", "admin {\n  token = env(\"CANARY\")\n}", []string{"the environment variable … is not set"}},
		"words":                       {"pool", "token CANARY", []string{"token …"}},
		"users as nginx has them":     {"pool", "auth_basic_user admin:CANARY;", []string{"auth_basic_user …;"}},
		"a user of HAProxy":           {"whole", "global\nuserlist u\n  user admin insecure-password CANARY\nbackend app\n  server a 127.0.0.1:5000 check\n  password CANARY", []string{"server a 127.0.0.1:5000 check"}},
		"a header field of nginx":     {"whole", "server {\n  listen 80;\n  proxy_set_header Authorization \"Basic CANARY\";\n  proxy_pass http://u:CANARY@app;\n}", []string{"proxy_set_header Authorization", "listen 80;"}},
		"basicauth of Caddy":          {"whole", "a.example {\n  basicauth {\n    bob CANARY\n  }\n  reverse_proxy 127.0.0.1:5000\n}", []string{"reverse_proxy 127.0.0.1:5000"}},
		"a comment":                   {"pool", `balance = "lest_conn" # token CANARY`, []string{`balance = "lest_conn" # …`, `Did you mean "least_conn"?`}},
		"a label too many":            {"pool", `sticky "CANARY" "CANARY" {`, nil},
		"a block of JSON":             {"whole", `{ "admin": { "token": "CANARY" } }`, []string{"a configuration in JSON"}},
		"a line of YAML":              {"top", "admin:\n  token: CANARY", []string{"a colon instead of an equals sign"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := around(c.where, strings.ReplaceAll(c.text, "CANARY", canary))
			_, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(text)}}, func(o *options) { o.withoutFiles = true })
			says := found.String()
			if part := leak(says); part != "" {
				t.Errorf("%q of the secret is shown:\n%s", part, says)
			}
			if !found.HasErrors() {
				t.Error("there is no error")
			}
			for _, want := range c.shows {
				if !strings.Contains(says, want) {
					t.Errorf("%q is not shown:\n%s", want, says)
				}
			}
		})
	}
}

// TestValuesFromOutsideAreHidden: the results of env and file are never shown, for any attribute and any mistake.
func TestValuesFromOutsideAreHidden(t *testing.T) {
	const digits = "7391846205" // a number with no four digits by chance
	v := (&options{}).language()
	found := 0
	for kind, names := range v.attributes {
		before, after := wayTo(v, kind)
		for _, name := range names {
			for _, value := range []string{canary, "/" + canary + " x", canary + ":" + canary, "https://" + canary + "/x", canary + "{", "-" + digits, digits + "." + digits} {
				t.Setenv("LB_TEST_SECRET", value)
				for _, form := range []string{`%s`, `[%s]`, `[5, "${%s}x"]`, `{ "X-A" = %s }`, `{ (%s) = 5 }`, `{ (%[1]s) = 1, (%[1]s) = 2 }`, `{ (%s) = "a\nb" }`, `[for x in [%s] : x]`, `{}[%s]`, `%s + 1`, `{ a = 1 }[%s]`} {
					text := before + name + " = " + fmt.Sprintf(form, `env("LB_TEST_SECRET")`) + "\n" + after
					_, diags := Parse([]Source{{Name: "lb.hcl", Text: []byte(text)}}, func(o *options) { o.everything = true })
					says := diags.String()
					if leak(says) != "" || strings.Contains(says, digits[:4]) || strings.Contains(says, strings.ToLower(canary[:4])) {
						t.Errorf("%q is shown of\n%s\n%s", value, text, says)
					}
					found += len(diags)
				}
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d diagnostics", found)
	}
}

// TestShowMisspelt: a person who checks a file sees the value of a misspelt name, unless it could be a secret's.
func TestShowMisspelt(t *testing.T) {
	for text, want := range map[string]string{
		`balence = "first"`:              `balence = "first"`,
		`hash_kye = "client_ip"`:         `hash_kye = "client_ip"`,
		"admin {\n  tokn = \"abc\"\n}":   `tokn = "…"`,
		"sticky {\n  secrte = \"ab\"\n}": `secrte = "…"`,
		`password = "abc"`:               `password = "…"`,
		`whatever = "abc"`:               `whatever = "…"`,
		`balance_token = "abc"`:          `balance_token = "…"`,
	} {
		where := "pool"
		if strings.HasPrefix(text, "admin") {
			where = "top"
		}
		_, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(around(where, text))}}, WithoutFileChecks(), ShowMisspelt())
		if says := found.String(); !strings.Contains(says, want) {
			t.Errorf("%s is not shown as %s:\n%s", text, want, says)
		}
	}
}
