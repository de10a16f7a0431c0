// SandboxSpec and ContainerSpec as indented JSON, for golden files: deterministic, and silent about defaults.
#pragma once

#include <string>

#include "sandbox/spec.h"

namespace burstlet::provider::test {

std::string SpecText(const sandbox::SandboxSpec& spec);
std::string SpecText(const sandbox::ContainerSpec& spec);

/// A JSON string; an array of them, one a line.
std::string Quoted(const std::string& text);
std::string Lines(const std::string& text);

/// `block` moved to the right by `spaces`, but for its first line.
std::string Indented(const std::string& block, std::size_t spaces);

}  // namespace burstlet::provider::test
