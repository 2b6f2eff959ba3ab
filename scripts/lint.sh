#!/usr/bin/env bash
# gofmt, go vet and staticcheck, of the end-to-end tests too.
set -euo pipefail
cd "$(dirname "$0")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

echo "== gofmt"
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
  printf 'not formatted:\n%s\n' "$unformatted"
  exit 1
fi

echo "== go vet"
go vet -tags e2e ./...
go vet -tags poison ./internal/poison
go vet -tags portable ./netloop
GOOS=darwin go vet ./netloop
GOOS=windows go vet ./netloop

echo "== staticcheck"
if ! go run "$staticcheck" -version; then
  echo "SKIPPED: staticcheck cannot be built here"
  exit 0
fi
go run "$staticcheck" -tags e2e ./...
go run "$staticcheck" -tags portable ./netloop
