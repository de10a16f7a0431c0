// YAML documents as a small tree with line numbers, and as JSON: the only user of yaml-cpp here.
//
// Scalars are resolved as sigs.k8s.io/yaml does it for kubectl: null, booleans in all of YAML 1.1's spellings (true,
// yes, on, y, ...), integers (0644 is octal), floats; everything else and everything quoted is a string. Anchors and
// aliases work, with a bound on their expansion. Failure: kInvalidArgument "line N: ...". Threads: any.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::provider {

struct YamlField;

struct YamlNode {
  enum class Kind { kNull, kBool, kInteger, kFloat, kString, kSequence, kMap };
  Kind kind = Kind::kNull;
  std::string scalar;  // text of a scalar ("true", "420", "web")
  int line = 0;        // 1-based
  std::vector<YamlNode> items;
  std::vector<YamlField> fields;  // in file order; duplicate keys are an error

  const YamlNode* Find(const std::string& key) const;
};

struct YamlField {
  std::string key;
  YamlNode value;
};

/// All documents of a stream; empty ones are left out.
absl::StatusOr<std::vector<YamlNode>> ParseYaml(const std::string& text);

std::string YamlToJson(const YamlNode& node);

}  // namespace burstlet::provider
