#!/usr/bin/env bash
# Everything that must hold before a change lands: lint, the unit tests with the
# race detector, a few seconds of each fuzz target, the end-to-end tests. What the
# end-to-end tests use and is missing is installed where that is possible (root,
# apt); where it is not, those tests skip and say so at the end. All steps run,
# whatever fails.
set -uo pipefail
cd "$(dirname "$0")/.."

# command:package, or a path for what is no command.
needs=(
  nginx:nginx-light haproxy:haproxy wrk:wrk h2load:nghttp2-client
  chromium:chromium promtool:prometheus node:nodejs curl:curl dnsmasq:dnsmasq-base
  varnishtest:varnish slowhttptest:slowhttptest openssl:openssl
  sslscan:sslscan testssl:testssl.sh redis-server:redis-server
  /usr/share/nodejs/ws:node-ws
)
python_modules=(
  flask:python3-flask websockets:python3-websockets
  gunicorn:python3-gunicorn waitress:python3-waitress cheroot:python3-cheroot
  h2:python3-h2
)

missing() {
  local entry
  for entry in "${needs[@]}"; do
    command -v "${entry%%:*}" >/dev/null || [ -e "${entry%%:*}" ] || echo "${entry##*:}"
  done
  for entry in "${python_modules[@]}"; do
    /usr/bin/python3 -c "import ${entry%%:*}" 2>/dev/null || echo "${entry##*:}"
  done
}

install_missing() {
  local packages
  mapfile -t packages < <(missing)
  [ ${#packages[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, their tests will skip: ${packages[*]}"
    return
  fi
  echo "installing: ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Installing a server must not start it: tests start their own.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  { apt-get update -q && apt-get install -y -q --no-install-recommends "${packages[@]}"; } >"$logs/apt.log" 2>&1 ||
    { tail -n 5 "$logs/apt.log"; echo "could not install all of it; the tests of what is missing will skip"; }
}

# step NAME COMMAND…: run it, show its output, remember how it ended.
results=()
failed=0
step() {
  local name=$1 started=$SECONDS
  shift
  echo
  echo "==== $name: $*"
  if "$@" 2>&1 | tee "$logs/$name.log"; then
    results+=("ok      $name ($((SECONDS - started)) s)")
  else
    results+=("FAILED  $name ($((SECONDS - started)) s)")
    failed=1
  fi
}

# finish: leave nothing behind, however the script ends.
logs=$(mktemp -d)
policy=
finish() {
  rm -rf "$logs"
  [ -z "$policy" ] || rm -f "$policy"
}
trap finish EXIT
export PATH=$PATH:/usr/sbin:/sbin # where Debian keeps nginx and haproxy

install_missing
step lint scripts/lint.sh
step build go build ./...
# Buffers are overwritten when they go back to their pools: see internal/poison. The tag changes nothing else, and
# the end-to-end tests run without it.
step unit go test -race -tags poison -timeout 20m ./...
step fuzz scripts/fuzz.sh 3s
# Where there is no epoll, loops run on Go's net: the same tests on that driver.
step portable go test -race -timeout 10m -tags portable ./netloop ./http1 ./listener ./transport ./proxy
# A build that takes minutes would disturb the tests which measure; failures here are reported by the tests, which skip.
[ -n "${LB_CONSUL:-}" ] || command -v consul >/dev/null || scripts/consul.sh >"$logs/consul.log" 2>&1 || tail -n 5 "$logs/consul.log"
step e2e go test -tags e2e -count=1 -timeout 40m -v ./e2e/...

echo
echo "==== summary"
printf '%s\n' "${results[@]}"
grep -hE '^ *--- FAIL' "$logs/unit.log" "$logs/portable.log" "$logs/e2e.log"
# The reason of a skipped test is on the line before.
grep -hB1 -E '^ *--- SKIP' "$logs/e2e.log"
grep -h '^SKIPPED' "$logs/lint.log"
exit "$failed"
