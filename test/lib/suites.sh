# shellcheck shell=bash disable=SC2154 # common.sh sets root, build, logs, cache
# Runs suites and counts. A suite is a program that prints one line per test,
#
#   ok NAME
#   not ok NAME - why
#   skip NAME - why
#
# (everything else it prints is for its log) and exits with 0 only when none failed. A suite that
# dies, hangs or prints no such line counts as a failed test of its own name.

passed=0
failed=0
skipped=0
failures=()

# run_suite NAME SECONDS COMMAND...: now, and alone.
run_suite() {
  queue_suite "$@"
  run_queued 1
}

queued=()

# queue_suite NAME SECONDS COMMAND...: to be run by run_queued.
queue_suite() {
  queued+=("$(printf '%q ' "$@")")
}

# run_queued JOBS: runs what is queued, so many at a time; each is counted when it ends.
run_queued() {
  local jobs=$1 entry pid status
  local -A names=() begun=()
  for entry in "${queued[@]}"; do
    if [ ${#names[@]} -ge "$jobs" ]; then
      end_one
    fi
    eval "start_suite $entry"
  done
  queued=()
  while [ ${#names[@]} -gt 0 ]; do
    end_one
  done
}

# Both use run_queued's variables.
start_suite() {
  local name=$1 limit=$2
  shift 2
  mkdir -p "$logs"
  say "suite $name ..."
  # 9 is the run's lock: nothing a suite starts may hold it.
  timeout --foreground --kill-after=60 "$limit" "$@" > "$(suite_log "$name")" 2>&1 9>&- < /dev/null &
  names[$!]=$name
  begun[$!]="$(date +%s) $limit"
}

end_one() {
  status=0
  wait -n -p pid "${!names[@]}" || status=$?
  # shellcheck disable=SC2086 # two words
  count_suite "${names[$pid]}" "$status" ${begun[$pid]}
  unset "names[$pid]" "begun[$pid]"
}

# An interrupted run ends its suites: in the background they do not hear the terminal.
end_suites() {
  trap - INT TERM
  # shellcheck disable=SC2046 # one word a pid
  kill $(jobs -p) 2> /dev/null || true
  wait
  exit 130
}
trap end_suites INT TERM

suite_log() {
  echo "$logs/suite-$(tr ' /' '--' <<< "$1").log"
}

# count_suite NAME STATUS BEGIN LIMIT
count_suite() {
  local name=$1 status=$2 begin=$3 limit=$4 before=$failed lines=0 line ok=0 log
  log=$(suite_log "$name")
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      "ok "*) passed=$((passed + 1)) ok=$((ok + 1)) lines=$((lines + 1)) ;;
      "not ok "*) fail "$name: ${line#not ok }"; lines=$((lines + 1)) ;;
      "skip "*) skip "$name: ${line#skip }"; lines=$((lines + 1)) ;;
    esac
  done < "$log"
  if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    fail "$name: did not end within $limit s; its log is $log"
  elif [ "$status" -ne 0 ] && [ $failed -eq "$before" ]; then
    fail "$name: ended with status $status; its log is $log"
  elif [ $lines -eq 0 ]; then
    fail "$name: ran no test; its log is $log"
  fi
  say "suite $name: $ok passed, $((failed - before)) failed, $(($(date +%s) - begin)) s"
  if [ $failed -gt "$before" ]; then
    echo "          log: $log"
  fi
}

fail() {
  failed=$((failed + 1))
  failures+=("$1")
  printf 'FAILED    %s\n' "$1"
}

# skip: outside CI it is only told; in CI the test must be in the listed set.
skip() {
  skipped=$((skipped + 1))
  printf 'SKIPPED   %s\n' "$1"
  if [ "${CI:-}" = true ] && ! expected_skip "${1%% - *}"; then
    fail "$1 (skipped, and not listed in test/expected-skips.txt)"
  fi
}

# expected_skip "SUITE: NAME": each line of the file is such a text, * matches anything.
expected_skip() {
  local pattern
  while IFS= read -r pattern; do
    pattern=${pattern%%#*}
    pattern=${pattern%"${pattern##*[![:space:]]}"}
    # shellcheck disable=SC2053 # a pattern it is
    if [ -n "$pattern" ] && [[ $1 == $pattern ]]; then
      return 0
    fi
  done < "$root/test/expected-skips.txt"
  return 1
}

unit_suites() {
  local folder=${1:-$build} program
  for program in "$folder"/test_*  "$folder"/test/test_*; do
    if [ -f "$program" ] && [ -x "$program" ]; then
      queue_suite "unit $(basename "$program")" 900 "$root/test/lib/catch_results.py" "$program"
    fi
  done
  run_queued 1
}

# fuzz_suites FOLDER SECONDS: every fuzzer of a build, each for so long.
fuzz_suites() {
  local program
  for program in "$1"/test/fuzz/fuzz_*; do
    if [ -f "$program" ] && [ -x "$program" ]; then
      queue_suite "fuzz $(basename "$program")" $(($2 + 120)) \
        "$root/test/lib/fuzz.sh" "$program" "$2" "$logs"
    fi
  done
  run_queued 2
}

style_suites() {
  run_suite style 600 "$root/test/style/check.py"
}

# e2e_suites [PATTERN]: every executable test/e2e/**/*_test.py or .sh whose path has PATTERN in it.
e2e_suites() {
  local pattern=${1:-} file name
  local -A alone=([e2e/leftover_test.py]=1) # counts what the whole host has
  while IFS= read -r file; do
    name=${file#"$root/test/"}
    [[ $name == *"$pattern"* ]] || continue
    if [ -z "${alone[$name]:-}" ]; then
      queue_suite "$name" 1800 "$file"
    fi
  done < <(find "$root/test/e2e" -type f -perm -u+x \( -name '*_test.py' -o -name '*_test.sh' \) |
    LC_ALL=C sort)
  # Each has a control plane and a network of its own, and mostly waits.
  run_queued "${BURSTLET_TEST_JOBS:-3}"
  for name in "${!alone[@]}"; do
    if [[ $name == *"$pattern"* ]]; then
      run_suite "$name" 1800 "$root/test/$name"
    fi
  done
}

# summary: the last line and the exit status of a run.
summary() {
  local line
  if [ ${#failures[@]} -gt 0 ]; then
    echo
    echo "failed:"
    for line in "${failures[@]}"; do
      printf '  %s\n' "$line"
    done
  fi
  if [ $skipped -gt 0 ]; then
    echo "$skipped skipped"
  fi
  echo "$passed passed, $failed failed"
  [ $failed -eq 0 ] && [ $passed -gt 0 ]
}
