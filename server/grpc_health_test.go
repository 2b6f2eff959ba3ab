package server_test

import (
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// TestGRPCHealthServer: checks follow what the health service of a real server says of the whole server or of one service.
func TestGRPCHealthServer(t *testing.T) {
	b := startGRPC(t)
	configure := func(service string) string {
		return proxyTo("  protocol = \"h2c\"\n  health {\n    type = \"grpc\"\n    service = \""+service+"\"\n    timeout = \"9s\"\n    interval = \"20ms\"\n"+
			"    fast_interval = \"20ms\"\n  }\n", b.address)
	}
	lb := start(t, configure(""))
	lb.wantCheck("up", "")
	b.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	lb.wantCheck("down", "serving status NOT_SERVING")
	b.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	lb.wantCheck("up", "")
	if err := lb.reload(configure("shop.Catalog")); err != nil {
		t.Fatal(err)
	}
	lb.wantCheck("down", "does not know the service")
	b.health.SetServingStatus("shop.Catalog", healthpb.HealthCheckResponse_SERVING)
	lb.wantCheck("up", "")
	b.health.Shutdown()
	lb.wantCheck("down", "serving status NOT_SERVING")
}
