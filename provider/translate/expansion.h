// `$(NAME)` references in values, commands and sub-paths.
//
// Pure. Threads: any. Failure: none, what is no reference stays as it is. ExpandVariables is in environment.h.
// Source: third_party/forked/golang/expansion (the expansion design document's rules).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace burstlet::provider {

/// Every `$(NAME)` of `text` replaced by lookup(NAME).
std::string ExpandWith(const std::string& text, const std::function<std::string(const std::string&)>& lookup);

/// The names that `text` refers to, in order.
std::vector<std::string> ReferencedVariables(const std::string& text);

/// "NAME=value" lines as a map; the last of equal names wins.
std::map<std::string, std::string> EnvironmentMap(const std::vector<std::string>& env);

}  // namespace burstlet::provider
