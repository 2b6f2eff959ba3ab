// Package compose tests the container images and the compose stack with a real
// engine: go test -tags e2e ./e2e/compose. LB_E2E_DOCKER=0 skips it.
package compose
