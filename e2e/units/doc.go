// Package units tests what ships beside the binary, each with the tool that
// will read it: the systemd units, Prometheus's configuration and alerts, the
// Grafana dashboard, the example applications and the configurations in the
// documentation: go test -tags e2e ./e2e/units.
package units
