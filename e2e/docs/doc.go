// Package docs runs the commands of README.md and docs/ as they stand, from the top of each page to its end,
// as a reader who pastes them does: go test -tags e2e ./e2e/docs. Each page has a machine of its own, made of
// namespaces, so that nothing of it stays on this one. What is not real there: sudo, since the reader is root,
// and systemctl, which testdata/systemctl stands in for; it reads the units and starts what they say.
package docs
