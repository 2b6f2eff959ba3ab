// Package vtc runs varnishtest, Varnish's test language for both ends of a connection, against lb:
// go test -tags e2e ./e2e/vtc. A script has the macros ${listen}, lb's address, and ${run}, which starts lb
// (see lb.sh). To run one script by hand:
//
//	varnishtest -v -t 10 -D listen=127.0.0.1:8080 -D run="$PWD/e2e/vtc/lb.sh bin/lb 127.0.0.1:8080" e2e/vtc/scripts/reuse.vtc
package vtc
