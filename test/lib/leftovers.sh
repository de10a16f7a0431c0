#!/bin/bash
# What a test run may not leave behind on the machine, as a suite of its own.
#
#   leftovers.sh RUN_DIR
#
# Everything a run makes carries RUN_DIR's name or BURSTLET_TEST_ID (set by test/run, and the prefix
# of every network namespace and cgroup that a suite makes), so that other runs are not looked at.
set -euo pipefail

run_dir=$1
id=$BURSTLET_TEST_ID
bad=0

# report NAME FOUND
report() {
  if [ -z "$2" ]; then
    echo "ok no $1 left over"
  else
    printf '%s\n' "$2"
    echo "not ok no $1 left over - $(wc -l <<< "$2"): $(head -n 3 <<< "$2" | tr '\n' ' ')"
    bad=1
  fi
}

processes() {
  local folder pid
  for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    if [ "$pid" = $$ ] || [ "$pid" = "$PPID" ]; then
      continue
    fi
    # The mark is inherited by everything a suite starts; a zombie has no environment.
    if grep -zqx "BURSTLET_TEST_MARK=$id" "$folder/environ" 2> /dev/null ||
      grep -zqF "$run_dir/" "$folder/cmdline" 2> /dev/null; then
      echo "$pid $(tr '\0' ' ' < "$folder/cmdline" | cut -c1-120)"
    fi
  done
}

# Environment and arguments of this script and of the run that calls it are theirs, not left over.
unset BURSTLET_TEST_MARK
report processes "$(processes | grep -vF leftovers.sh || true)"
report mounts "$(grep -v '^nsfs ' /proc/self/mounts | grep -F -e "$run_dir/" -e "/$id" || true)"
report cgroups "$(find /sys/fs/cgroup -type d -name "$id*" 2> /dev/null || true)"
report "network namespaces" "$(find /run/netns -name "$id*" 2> /dev/null || true)"
report "network interfaces" "$(ip -o link show 2> /dev/null | grep -F "$id" || true)"
report "files" "$(find "$run_dir" -mindepth 1 -maxdepth 1 2> /dev/null || true)"
exit $bad
