#include <algorithm>
#include <charconv>
#include <cstdint>

#include "provider/admission_checks.h"
#include "provider/affinity_json.h"

namespace burstlet::provider {
namespace {

using Labels = std::map<std::string, std::string>;

bool ParseNumber(const std::string& text, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool Contains(const std::vector<std::string>& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

bool MatchesLabel(const NodeSelectorRequirement& requirement, const Labels& labels) {
  const auto label = labels.find(requirement.key);
  const bool present = label != labels.end();
  const std::string& op = requirement.operator_;
  if (op == "Exists") return present;
  if (op == "DoesNotExist") return !present;
  if (op == "In") return present && Contains(requirement.values, label->second);
  if (op == "NotIn") return !present || !Contains(requirement.values, label->second);
  if ((op != "Gt" && op != "Lt") || !present || requirement.values.size() != 1) return false;
  std::int64_t actual = 0;
  std::int64_t bound = 0;
  if (!ParseNumber(label->second, actual) || !ParseNumber(requirement.values.front(), bound)) return false;
  return op == "Gt" ? actual > bound : actual < bound;
}

/// metadata.name is the one field that a node has for selectors.
bool MatchesField(const NodeSelectorRequirement& requirement, const std::string& node_name) {
  if (requirement.values.size() != 1) return false;
  const std::string value = requirement.key == "metadata.name" ? node_name : "";
  if (requirement.operator_ == "In") return value == requirement.values.front();
  return requirement.operator_ == "NotIn" && value != requirement.values.front();
}

bool MatchesTerm(const NodeSelectorTerm& term, const Labels& labels, const std::string& node_name) {
  if (term.matchExpressions.empty() && term.matchFields.empty()) return false;
  return std::all_of(term.matchExpressions.begin(), term.matchExpressions.end(),
                     [&](const auto& requirement) { return MatchesLabel(requirement, labels); }) &&
         std::all_of(term.matchFields.begin(), term.matchFields.end(),
                     [&](const auto& requirement) { return MatchesField(requirement, node_name); });
}

}  // namespace

bool MatchesNode(const kube::PodSpec& spec, const std::map<std::string, std::string>& labels,
                 const std::string& node_name) {
  for (const auto& [key, value] : spec.nodeSelector) {
    const auto label = labels.find(key);
    if (label == labels.end() || label->second != value) return false;
  }
  if (!spec.affinity || spec.affinity->text.empty()) return true;
  const absl::StatusOr<Affinity> affinity = DecodeAffinity(spec.affinity->text);
  if (!affinity.ok()) return false;
  if (!affinity->nodeAffinity || !affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution) return true;
  const auto& terms = affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution->nodeSelectorTerms;
  return std::any_of(terms.begin(), terms.end(),
                     [&](const NodeSelectorTerm& term) { return MatchesTerm(term, labels, node_name); });
}

}  // namespace burstlet::provider
