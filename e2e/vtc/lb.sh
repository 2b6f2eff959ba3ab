#!/bin/sh
# Runs lb for a script of varnishtest: "sh lb.sh LB LISTEN BACKEND…", where LB is the program and LISTEN its
# address. Scripts extend the configuration by environment variables: $top, $site, $route and $pool are
# inserted into the file and its blocks of those names, $bind into the listen block.
set -eu
lb=$1 listen=$2
shift 2
{
  cat <<END
listen "$listen" {
  ${bind-}
}
admin {
  listen = "off"
}
access_log {
  format = "off"
}
${top-}
site "s" {
  ${site-}
  route "/" {
    ${route-}
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  balance = "first"
  ${pool-}
END
  for backend; do echo "  backend \"$backend\" {}"; done
  echo "}"
} >lb.hcl
# A varnishtest that is killed takes lb along; the log goes where it looks for words.
exec setpriv --pdeathsig KILL "$lb" -config lb.hcl 2>&1
