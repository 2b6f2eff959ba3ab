#!/usr/bin/env bash
# Run every fuzz target of the tree for the time given (default 30s), one after
# another, each on all cores. Each package is built once, and before anything runs,
# so that builds take no time from the targets. For each it prints how many inputs
# a second were tried; failures are printed in full, and listed again at the end. The
# failing input is then in the package's testdata/fuzz, to be kept with the fix.
set -uo pipefail
cd "$(dirname "$0")/.."

time=${1:-30s}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log
failed=()
targets=$(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's|^\./||; s|func ||' | sort)
[ -n "$targets" ] || { echo "there are no fuzz targets" >&2; exit 1; }

# -fuzz has the compiler count what an input reaches; a package that does not build is reported below.
cut -d: -f1 <<<"$targets" | xargs -n1 dirname | sort -u |
  xargs -P "$(nproc)" -I{} go test -c -fuzz . -o "$scratch/{}/fuzz.test" ./{}
# Where go test -fuzz keeps the inputs that reached something new.
kept=$(go env GOCACHE)/fuzz/$(go list -m)

while IFS=: read -r file target; do
  package=$(dirname "$file")
  for attempt in 1 2 3; do
    (cd "$package" && "$scratch/$package/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" \
      -test.fuzztime "$time" -test.fuzzcachedir "$kept/$package") >"$log" 2>&1
    status=$?
    # When the time is over while an input is tried, the fuzzer itself may call that a failure, without an input. An
    # input that fails is written down, and fails again.
    [ "$status" -ne 0 ] && grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input' "$log" || break
  done
  execs=$(grep -o 'execs: [0-9]*' "$log" | tail -n 1 | grep -o '[0-9]*')
  seconds=$(sed -n 's/.*elapsed: \([0-9hms]*\), execs.*/\1/p' "$log" | tail -n 1 | sed 's/h/*3600+/; s/m/*60+/; s/s//')
  if [ "$status" -eq 0 ] && [ -z "$execs" ] && grep -q 'gathering baseline coverage' "$log"; then
    # The inputs found in earlier runs took all of the time; they passed.
    printf 'ok      %-22s ./%-18s kept inputs only\n' "$target" "$package"
    continue
  fi
  if [ "$status" -ne 0 ] || [ -z "$execs" ] || [ "$execs" -eq 0 ]; then
    failed+=("$target in ./$package")
    echo "FAILED  $target in ./$package"
    cat "$log"
    continue
  fi
  seconds=$((${seconds:-0}))
  printf 'ok      %-22s ./%-18s %9d execs, %7d a second\n' \
    "$target" "$package" "$execs" $((execs / (seconds > 0 ? seconds : 1)))
done <<<"$targets"

if [ ${#failed[@]} -gt 0 ]; then
  printf '\n%d of the fuzz targets FAILED:\n' "${#failed[@]}" >&2
  printf '  %s\n' "${failed[@]}" >&2
  exit 1
fi
