#!/bin/sh
# Runs lb for a script of varnishtest: "sh lb.sh LB LISTEN BACKEND…", where LB is the program and LISTEN its
# address. What a script wants besides a plain proxy it says in the environment: $top, $site,
# $route and $pool stand in the configuration where their names say; $bind holds
# what the listen block does.
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
