// A variable out of an environment file: a strict subset of the shell's syntax, NAME='value' with values that may span
// lines.
//
// Pure; the text comes from a container and is not trusted. Threads: any. Failure: kInvalidArgument that names the
// line. Source: pkg/kubelet/util/env (KEP-3721).
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace burstlet::provider {

/// Files may not be larger, nor may a line of one (the kubelet's scanner has the latter limit).
inline constexpr std::size_t kMaxEnvFileBytes = 1u << 20;
inline constexpr std::size_t kMaxEnvFileLine = 64u << 10;

/// The value of `key`; empty when it is not there. What comes after the key's value is not looked at.
absl::StatusOr<std::string> EnvFileValue(const std::string& text, const std::string& key);

}  // namespace burstlet::provider
