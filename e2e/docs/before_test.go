//go:build e2e

package docs

// before is what a page assumes: what the reader has when it begins.
var before = map[string]string{
	// The reader has configured lb, has a certificate, and later a newer binary.
	"docs/deployment.md": `
sed 's/":80"/":8080"/' configs/replicas.hcl >lb.hcl
mkdir -p /etc/lb
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=clock.example.com -keyout /etc/lb/clock.key -out /etc/lb/clock.pem 2>/dev/null
make build
cp bin/lb lb-new
`,
	// lb runs, with a pool of three replicas.
	"docs/admin.md": running,
}

// running is lb with three replicas of the clock, one of them on a socket.
const running = `
make build
install bin/lb /usr/local/bin/lb
cat >lb.hcl <<'END'
listen ":8080" {}
site "clock" {
  route "/" {
    proxy { pool = "app" }
  }
  route "/api/" {
    proxy { pool = "app" }
  }
}
pool "app" {
  balance = "least_conn"
  backend "127.0.0.1:5000" {}
  backend "127.0.0.1:5001" {}
  backend "unix:/run/app.sock" {}
}
END
bin/clock -listen 127.0.0.1:5000 &
bin/clock -listen 127.0.0.1:5001 &
lb -config lb.hcl >/dev/null 2>&1 &
curl -sf --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null http://127.0.0.1:9900/readyz
curl() { command curl -f --max-time 10 "$@" || [ $? = 28 ]; } # a stream of events does not end
`
