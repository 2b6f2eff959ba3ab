package server

import (
	"crypto/tls"

	"lb/config"
)

// backendSecurity is backendTLS for the protocol of the pool's backends, which the fingerprint names too: a change of either changes all connections.
func backendSecurity(c *config.Pool) (conf *tls.Config, fingerprint string, err error) {
	conf, fingerprint, err = backendTLS(c.TLS)
	if err != nil || c.Protocol == "http1" {
		return conf, fingerprint, err
	}
	if conf != nil {
		conf.NextProtos = []string{"h2"}
	}
	return conf, fingerprint + " " + c.Protocol, nil
}
