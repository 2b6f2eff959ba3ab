package config

import (
	"crypto/tls"
	"time"

	"lb/balancer"
	"lb/internal/coding"
	"lb/internal/limits"
)

// DefaultAdmin is where the admin listener is unless the configuration says otherwise.
const DefaultAdmin = "127.0.0.1:9900"

// The defaults of each block. They also apply if the block is not written, unless its absence has a meaning.

func defaultConfig() *Config {
	return &Config{
		Admin:       Admin{Listen: DefaultAdmin},
		Log:         Log{Level: "info", Format: "text", File: "-"},
		AccessLog:   AccessLog{Format: "json", File: "-", Sample: 1},
		Limits:      defaultLimits(),
		StaticCache: StaticCache{Memory: 256 << 20, MaxFile: 8 << 20},
		Shutdown:    Shutdown{Grace: 30 * time.Second},
	}
}

func defaultLimits() Limits {
	return Limits{
		HeaderSize:      limits.HeaderSize,
		HeaderFields:    limits.HeaderFields,
		HeaderTimeout:   limits.HeaderTimeout,
		BodyIdleTimeout: limits.BodyIdleTimeout,
		BodyMinRate:     128,
		IdleTimeout:     limits.IdleTimeout,
	}
}

func defaultTLS() TLS { return TLS{MinVersion: tls.VersionTLS12, ClientVerify: "require", HTTP2: true} }

func defaultACME() ACME {
	return ACME{Storage: "/var/lib/lb/acme", Challenges: []string{"http-01", "tls-alpn-01"}}
}

func defaultRoute() Route { return Route{AmbiguousPaths: "reject"} }

func defaultStatic() Static {
	return Static{
		Index:    []string{"index.html"},
		TryFiles: []string{"{path}", "{path}/"},
		Compress: true,
	}
}

func defaultCompress() Compress {
	return Compress{Types: coding.DefaultTypes, MinSize: 1 << 10, Level: coding.DefaultLevel}
}

func defaultRateLimit() RateLimit {
	return RateLimit{Key: "client_ip", Rate: 100, Window: time.Second, Burst: 200, RedisDown: "open"}
}

func defaultConcurrency() Concurrency { return Concurrency{Key: "client_ip", Limit: 10} }

func defaultBasicAuth() BasicAuth { return BasicAuth{Realm: "restricted"} }

func defaultForwardAuth() ForwardAuth { return ForwardAuth{Path: "/"} }

func defaultRedirect() Redirect { return Redirect{Status: 308} }

func defaultRespond() Respond { return Respond{Status: 200, ContentType: "text/plain"} }

func defaultPool() Pool {
	return Pool{
		Balance: balancer.Default,
		HashKey: "client_ip",

		Protocol: "http1",

		Eject: Eject{Failures: 5, Duration: 10 * time.Second, MaxPercent: 50},
		Retry: Retry{
			Attempts: 2,
			Budget:   0.1,
			On:       []string{"connect", "reset", "503"},
			Body:     64 << 10,
		},
		Queue:              Queue{Limit: 1024, Timeout: 5 * time.Second, WhileDown: time.Second},
		ResponseHeaderSize: limits.ResponseHeaderSize,
		Timeouts:           Timeouts{Connect: 3 * time.Second, Response: 60 * time.Second, Idle: 60 * time.Second, Tunnel: time.Hour},
		// Node closes after five seconds, and a POST on a connection that is being closed cannot be sent again.
		KeepAlive: KeepAlive{MaxIdle: 256, IdleTimeout: 4 * time.Second},
	}
}

func defaultBackend() Backend { return Backend{Weight: 1} }

func defaultHealth() Health {
	return Health{
		Type:         "http",
		Path:         "/",
		Method:       "GET",
		Status:       StatusSet{{From: 200, To: 399}},
		Interval:     limits.ProbeInterval,
		FastInterval: limits.ProbeFastInterval,
		Timeout:      limits.ProbeTimeout,
		Jitter:       0.1,
		Rise:         limits.ProbeRise,
		Fall:         limits.ProbeFall,
	}
}

func defaultDiscoverDNS() DiscoverDNS { return DiscoverDNS{Type: "A", Interval: limits.DNSInterval} }

func defaultDiscoverDocker() DiscoverDocker { return DiscoverDocker{Socket: "/var/run/docker.sock"} }

func defaultDiscoverConsul() DiscoverConsul { return DiscoverConsul{Address: "127.0.0.1:8500"} }

func defaultBackendTLS() BackendTLS { return BackendTLS{Verify: true} }

func defaultSticky() Sticky { return Sticky{Cookie: "lb"} }
