// Package docker tests discover "docker" with a real engine: go test -tags e2e ./e2e/docker.
// LB_E2E_DOCKER=0 skips it.
package docker
