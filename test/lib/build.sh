# shellcheck shell=bash disable=SC2154 # common.sh sets root, build, logs, cache
# Builds: the product by a CMake preset, the control plane, the test images.

# build_cpp [PRESET [TARGET...]]
build_cpp() {
  local preset=${1:-release}
  cd "$root" || return 1
  cmake --preset "$preset" || return 1
  cmake --build "$(preset_dir "$preset")" -- "${@:2}"
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
