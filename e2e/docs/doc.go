// Package docs runs the commands of README.md and docs/ unchanged, from the top of each page to its end:
// go test -tags e2e ./e2e/docs. Each page has namespaces of its own, so that this machine is not changed. Two commands
// are replaced: sudo, since the commands run as root, and systemctl, by testdata/systemctl, which reads the units and
// starts their programs.
package docs
