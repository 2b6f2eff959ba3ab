#!/usr/bin/env bash
# Run every fuzz target of the tree for the time given (default 30s), one after
# another: `go test -fuzz` takes one at a time.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-30s}
failed=0
while IFS=: read -r file target; do
  echo "== $target in $(dirname "$file")"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$(dirname "$file")" || failed=1
done < <(grep -rHo --include='*_test.go' 'func Fuzz[A-Za-z0-9_]*' . | sed 's|^\./||; s|func ||')
exit "$failed"
