# shellcheck shell=bash
# What every test script shares: where things are, progress, failure with the log's place.
# Sourced after `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${BURSTLET_CACHE:-$HOME/.cache/burstlet}
build=$root/build
logs=$build/test-logs
# Used by the scripts that source this file.
export root cache build logs

started=$(date +%s)

# say TEXT: a line of progress, with the seconds since the start.
say() {
  printf '[%4d s] %s\n' $(($(date +%s) - started)) "$*"
}

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# step NAME COMMAND...: runs it with its output in a log of its own; on failure shows the log's end
# and its place, and ends the script. The command runs in a subshell, where the first error ends it;
# for that, step itself may not be called in a condition (`step ... ||`).
step() {
  local name=$1 log status begin
  shift
  begin=$(date +%s)
  mkdir -p "$logs"
  log=$logs/$(tr ' /' '--' <<< "$name").log
  say "$name ..."
  set +e
  (
    set -e
    "$@"
  ) > "$log" 2>&1
  status=$?
  set -e
  if [ $status -ne 0 ]; then
    echo "--- the end of $log" >&2
    tail -n 40 "$log" >&2
    die "$name failed (status $status); its log is $log"
  fi
  say "$name: done in $(($(date +%s) - begin)) s"
}

need_root() {
  [ "$(id -u)" = 0 ] || die "must be run as root (it makes namespaces, mounts and cgroups)"
}

# one_at_a_time: a second run in the same tree waits for the first. The lock is the tree itself and
# goes with this process; commands that may leave a daemon behind close descriptor 9.
one_at_a_time() {
  exec 9< "$root"
  if ! flock -n 9; then
    say "another run works in $root: waiting for it"
    flock 9
  fi
}
