package config

import (
	"fmt"
	"strings"
)

// readHealthTLS reads the tls block of health checks; plain means that they have none.
func readHealthTLS(b *block) (t *BackendTLS, plain bool) {
	enabled := true
	if t = readBackendTLS(b, &enabled); !enabled {
		return nil, true
	}
	return t, false
}

// maxServiceName is the longest name of a gRPC service in bytes.
const maxServiceName = 255

// serviceName requires the name of a gRPC service, or nothing.
func serviceName(s string) (problem, remedy string) {
	switch {
	case strings.ContainsAny(s, "/ \t"):
		return fmt.Sprintf("is not a service: %q", s), `Write the name as the server registers it, without a method: "app.v1.App"`
	case len(s) > maxServiceName:
		return fmt.Sprintf("is longer than %d bytes", maxServiceName), `Write the name as the server registers it: "app.v1.App"`
	}
	return "", ""
}

// checkGRPC reports attributes that do not belong to the type of the checks.
func (b *block) checkGRPC(h *Health) {
	if h.Type != "grpc" {
		if h.Service != "" {
			b.fail(b.place("service"), "service is for gRPC", `Write: type = "grpc"`)
		}
		return
	}
	for _, name := range []string{"path", "method", "status", "body"} {
		if b.written(name) {
			b.warn(b.place(name), fmt.Sprintf("%s has no effect with type = \"grpc\"", name), "Remove it: the standard health service is called.")
		}
	}
}

// checkProbePort reports a port for backends that have none. b may be nil.
func (b *block) checkProbePort(h *Health, backends []Backend) {
	if b == nil || h.Port == 0 {
		return
	}
	for _, m := range backends {
		if strings.HasPrefix(m.Address, "unix:") {
			b.fail(b.place("port"), fmt.Sprintf("port cannot apply to the backend %q, which is a socket", m.Address),
				"Remove port, or put that backend into a pool of its own.")
			return
		}
	}
}
