// The part of spec.affinity that a node reads: the terms that must match it.
//
// Plain data; the affinity itself travels as text (kube::RawJson) and is decoded here only. Threads: any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/meta.h"

namespace burstlet::provider {

struct NodeSelectorRequirement {
  std::string key;
  std::string operator_;
  std::vector<std::string> values;
};
BURSTLET_API_FIELDS(NodeSelectorRequirement, (key, operator_), values);

struct NodeSelectorTerm {
  std::vector<NodeSelectorRequirement> matchExpressions;
  std::vector<NodeSelectorRequirement> matchFields;
};
BURSTLET_API_FIELDS(NodeSelectorTerm, (), matchExpressions, matchFields);

struct NodeSelector {
  std::vector<NodeSelectorTerm> nodeSelectorTerms;
};
BURSTLET_API_FIELDS(NodeSelector, (nodeSelectorTerms));

struct NodeAffinity {
  std::optional<NodeSelector> requiredDuringSchedulingIgnoredDuringExecution;
};
BURSTLET_API_FIELDS(NodeAffinity, (), requiredDuringSchedulingIgnoredDuringExecution);

struct Affinity {
  std::optional<NodeAffinity> nodeAffinity;
};
BURSTLET_API_FIELDS(Affinity, (), nodeAffinity);

absl::StatusOr<Affinity> DecodeAffinity(const std::string& json);

}  // namespace burstlet::provider
