# shellcheck shell=bash disable=SC2154 # common.sh sets root, build, logs, cache
# Builds: the product by a CMake preset, the control plane, the test images.

# build_cpp [PRESET [TARGET...]]
build_cpp() {
  local preset=${1:-release}
  cd "$root" || return 1
  # The fuzzers come with the build that is tested, for a short run each.
  cmake --preset "$preset" -DBURSTLET_FUZZ="$([ "$preset" = release ] && echo ON || echo OFF)" ||
    return 1
  cmake --build "$(preset_dir "$preset")" -- "${@:2}"
}

# build_fuzzers: with sanitizers, and with the coverage that guides libFuzzer, in a folder of its own.
build_fuzzers() {
  cd "$root" || return 1
  # Without vptr, as in the preset: cpprestsdk's headers have classes whose type information it keeps to itself.
  local flags="-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=vptr"
  cmake --preset asan -B "$root/build-fuzz" -DBURSTLET_FUZZ=ON \
    -DCMAKE_CXX_FLAGS="$flags -fno-sanitize-recover=all" || return 1
  local targets
  mapfile -t targets < <(fuzzer_names)
  cmake --build "$root/build-fuzz" -- "${targets[@]}"
}

build_coverage() {
  cd "$root" || return 1
  cmake --preset dev -B "$root/build-coverage" \
    -DCMAKE_CXX_FLAGS="-O1 -g -fprofile-instr-generate -fcoverage-mapping" || return 1
  cmake --build "$root/build-coverage"
}

fuzzer_names() {
  find "$root/test/fuzz" -name '*_fuzz.cpp' -printf '%f\n' | sed 's/^\(.*\)_fuzz\.cpp$/fuzz_\1/' | sort
}

# preset_dir PRESET: the build folder of a preset.
preset_dir() {
  if [ "$1" = release ]; then echo "$root/build"; else echo "$root/build-$1"; fi
}

build_go() {
  "$root/test/cluster/build"
}

# go_bin: where build_go put its programs.
go_bin() {
  "$root/test/cluster/build" --print-dir
}

build_images() {
  "$root/test/images/build" "$(go_bin)"
}

# build_conformance: Kubernetes' own suite and the images that its specs run.
build_conformance() {
  "$root/test/addons/build" conformance
  "$root/test/conformance/images" "$(go_bin)"
}
