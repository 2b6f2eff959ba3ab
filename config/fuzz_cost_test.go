package config

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"lb/internal/lbtest"
)

// FuzzCost: no source, however broken, takes much more CPU time to read and to diagnose than a harmless one of the same size.
func FuzzCost(f *testing.F) {
	for _, seed := range costlySources {
		f.Add([]byte(seed), uint16(12))
	}
	f.Fuzz(func(t *testing.T, pattern []byte, size uint16) {
		text := lbtest.Stretch(pattern, int(size%32)<<10)
		if len(text) > 64<<10 {
			return
		}
		read := func(text []byte) {
			_, found := Parse([]Source{{Name: "lb.hcl", Text: text}}, WithoutFileChecks())
			_ = found.WriteText(io.Discard)
		}
		var usual []byte
		lbtest.CheckCost(t, lbtest.OfThread, func() { read(text) }, func() {
			if usual == nil {
				usual = harmlessSource(len(text))
			}
			read(usual)
		})
	})
}

// harmlessSource returns a configuration of that size.
func harmlessSource(size int) []byte {
	text := bytes.NewBufferString("listen \":80\" {}\n")
	for i := 0; text.Len() < size; i++ {
		fmt.Fprintf(text, `
site "site-%d" {
  hosts = ["host-%d.example"]
  route "/" {
    proxy {
      pool = "pool-%d"
    }
  }
}
pool "pool-%d" {
  backend "127.0.0.1:5000" {}
}
`, i, i, i, i)
	}
	return text.Bytes()
}

// costlySources are broken, or unusual, in as many places as their size allows.
var costlySources = []string{
	"listen \":80\" {}\n",
	"«listen \":80\" {}\n»",
	"«x = 1\n»",
	"«x {}\n»",
	"«listen :80 {}\n»",
	"«response = 60s\n»",
	"«\n»x = 60s\n",
	"«# a\n»x = 60s\n",
	"«x\n\n\n»",
	"«}\n»",
	"«{\n»",
	"«\"»",
	"«'»",
	"«“»",
	"«\"a»\n",
	"x = \"«${\"»",
	"x = \"«${»",
	"x = \"«$»",
	"x = «[»",
	"x = [«1,»]",
	"x = [«a.b, »]",
	"x = [\n«60s,\n»]",
	"listen «\"a\" »{}\n",
	"listen «a »{}\n",
	"site \"a\" { «route \"/\" { »\n",
	"«a = b »\n",
	"«a { b = c } »\n",
	"x = <<E\n«a\n»E\n",
	"«x = <<E\n»",
	"«/*»",
	"«/* */»",
	"«proxy_pass http://a; »\n",
	"«server { listen 80; location / { proxy_pass http://a; } }\n»",
	"server {\n«upstream »{\n",
	"«reverse_proxy a b c\n»",
	"«balance roundrobin\n»",
	"«a.b.example {\n  reverse_proxy :80\n}\n»",
	"listen \":80\" {}\nsite \"a\" {\n«  route \"/\" {\n    respond {}\n  }\n»}\n",
	"listen \":80\" {}\nsite \"a\" {\n  hosts = [«\"a.example\", »]\n}\n",
	"listen \":80\" {}\nsite \"a\" {\n  hosts = [\"«a.»example\"]\n}\n",
	"listen \":80\" {}\nsite \"a\" {\n  route \"/«a/../»\" {\n    respond {}\n  }\n}\n",
	"listen \":80\" {}\nsite \"a\" {\n  route \"/\" {\n    redirect {\n      to = \"/«{rest}»\"\n    }\n  }\n}\n",
	"listen \":80\" {}\npool \"a\" {\n«  backend \"127.0.0.1:80\" {}\n»}\n",
	"«pool \"a\" {\n  backend \"127.0.0.1:80\" {}\n}\n»",
	"trusted_proxies = [«\"10.0.0.0/8\",»]\n",
	"trusted_proxies = [«\"10.0.0.1/8\",»]\n",
	"limits {\n«  header_size = \"16KiB\"\n»}\n",
	"limits {\n  header_size = \"«1»KiB\"\n}\n",
	"limits {\n  header_timeout = \"«1s»\"\n}\n",
	"limits {\n  header_fields = «9»\n}\n",
	"«\x00»",
	"«\xff»",
	"«a»",
	"«a»«\t» = 1",
	"x = «env(»",
	"x = «(»«)»",
	"x = «!»true",
	"x = 1«+1»",
	"x = «true ? 1 : »2",
	"x = «a[»1",
	"x = a«.b»",
	"x = { «a = 1, »}",
	"x = { «a = 60s\n»}",
}
