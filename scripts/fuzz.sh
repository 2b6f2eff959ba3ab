#!/usr/bin/env bash
# Run every fuzz target of the tree for the time given (default 30s), one after
# another: `go test -fuzz` takes one at a time. For each it tells how many inputs
# a second were tried; what fails is shown whole, and told again at the end. The
# failing input is then in the package's testdata/fuzz, to be kept with the fix.
set -uo pipefail
cd "$(dirname "$0")/.."

time=${1:-30s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
targets=$(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's|^\./||; s|func ||' | sort)
[ -n "$targets" ] || { echo "there are no fuzz targets" >&2; exit 1; }

while IFS=: read -r file target; do
  package=./$(dirname "$file")
  started=$(date +%s%N)
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" >"$log" 2>&1
  status=$?
  execs=$(grep -o 'execs: [0-9]*' "$log" | tail -n 1 | grep -o '[0-9]*')
  # Building the instrumented test counts for nothing: the last line tells the time that was spent.
  seconds=$(sed -n 's/.*elapsed: \([0-9hms]*\), execs.*/\1/p' "$log" | tail -n 1 | sed 's/h/*3600+/; s/m/*60+/; s/s//')
  wall=$((($(date +%s%N) - started) / 1000000000))
  if [ "$status" -eq 0 ] && [ -z "$execs" ] && grep -q 'gathering baseline coverage' "$log"; then
    # The inputs found in earlier runs took all of the time; they passed.
    printf 'ok      %-22s %-18s kept inputs only\n' "$target" "$package"
    continue
  fi
  if [ "$status" -ne 0 ] || [ -z "$execs" ] || [ "$execs" -eq 0 ]; then
    failed+=("$target in $package")
    echo "FAILED  $target in $package"
    cat "$log"
    continue
  fi
  seconds=$((${seconds:-0}))
  printf 'ok      %-22s %-18s %9d execs, %7d a second (%d s with the build)\n' \
    "$target" "$package" "$execs" $((execs / (seconds > 0 ? seconds : 1))) "$wall"
done <<<"$targets"

if [ ${#failed[@]} -gt 0 ]; then
  printf '\n%d of the fuzz targets FAILED:\n' "${#failed[@]}" >&2
  printf '  %s\n' "${failed[@]}" >&2
  exit 1
fi
