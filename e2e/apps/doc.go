// Package apps runs lb in front of real applications and looks at it from outside, with real
// clients: go test -tags e2e ./e2e/apps.
package apps
