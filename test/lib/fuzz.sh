#!/bin/bash
# Runs one fuzzer for a while, as a suite: what it starts from is in test/fuzz/NAME, if anything.
#
#   fuzz.sh PROGRAM SECONDS [FOLDER]      FOLDER gets the input that broke it
set -euo pipefail

program=$1
seconds=$2
artifacts=${3:-$(dirname "$program")}
name=$(basename "$program")
seeds=$(cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz" && pwd)/${name#fuzz_}
corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT

folders=("$corpus")
if [ -d "$seeds" ]; then
  folders+=("$seeds")
fi
status=0
"$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
  -artifact_prefix="$artifacts/$name-" "${folders[@]}" 2>&1 || status=$?
if [ $status -eq 0 ]; then
  echo "ok $name"
else
  echo "not ok $name - status $status; the input is $artifacts/$name-*"
  exit 1
fi
