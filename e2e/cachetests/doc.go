// Package cachetests runs the public tests for HTTP caches (https://cache-tests.fyi) against lb: go test -tags e2e ./e2e/cachetests. The tests
// are data: requests, the origin's responses to them, and what is expected. testdata/tests.json has those of version 0.4.5, in the form of the
// suite's own export; its license is beside it. The clients and the origin are in this package.
//
// testdata/exceptions.txt lists the tests that lb does not pass, each with the reason. Tests of kind "check" ask how a cache behaves and have no
// right result: they are run, and not judged.
package cachetests
