// The node affinity that must match: what this node itself decides by (provider/admission_affinity.cpp).
#include "absl/strings/str_cat.h"
#include "provider/affinity_json.h"
#include "provider/validation.h"
#include "provider/validation_names.h"

namespace burstlet::provider::validation {
namespace {

void CheckExpression(Complaints& complaints, const std::string& path, const NodeSelectorRequirement& requirement) {
  const std::string& name = requirement.operator_;
  const std::string values = path + ".values";
  if (name == "In" || name == "NotIn") {
    if (requirement.values.empty()) {
      complaints.Required(values, "must be specified when `operator` is 'In' or 'NotIn'");
    }
  } else if (name == "Exists" || name == "DoesNotExist") {
    if (!requirement.values.empty()) {
      complaints.Forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    }
  } else if (name == "Gt" || name == "Lt") {
    if (requirement.values.size() != 1) {
      complaints.Required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
    }
  } else {
    complaints.Invalid(path + ".operator", name, "not a valid selector operator");
  }
  complaints.InvalidEach(path + ".key", requirement.key, QualifiedName(requirement.key));
  for (std::size_t i = 0; i < requirement.values.size(); ++i) {
    complaints.InvalidEach(Index(values, i), requirement.values[i], LabelValue(requirement.values[i]));
  }
}

/// Fields of the node: only its name can be asked for.
void CheckField(Complaints& complaints, const std::string& path, const NodeSelectorRequirement& requirement) {
  const std::string values = path + ".values";
  if (requirement.operator_ != "In" && requirement.operator_ != "NotIn") {
    complaints.Invalid(path + ".operator", requirement.operator_, "not a valid selector operator");
  } else if (requirement.values.size() != 1) {
    complaints.Required(values, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
  }
  if (requirement.key != "metadata.name") {
    complaints.Invalid(path + ".key", requirement.key, "not a valid field selector key");
    return;
  }
  for (std::size_t i = 0; i < requirement.values.size(); ++i) {
    complaints.InvalidEach(Index(values, i), requirement.values[i], DnsSubdomain(requirement.values[i]));
  }
}

}  // namespace

void CheckNodeAffinity(Complaints& complaints, const kube::PodSpec& spec) {
  if (!spec.affinity || spec.affinity->text.empty()) return;
  const auto affinity = DecodeAffinity(spec.affinity->text);
  if (!affinity.ok()) {
    complaints.InvalidLiteral("spec.affinity", spec.affinity->text, std::string(affinity.status().message()));
    return;
  }
  if (!affinity->nodeAffinity || !affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution) return;
  const std::string path =
      "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
  const auto& terms = affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution->nodeSelectorTerms;
  if (terms.empty()) complaints.Required(path, "must have at least one node selector term");
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const std::string at = Index(path, i);
    for (std::size_t j = 0; j < terms[i].matchExpressions.size(); ++j) {
      CheckExpression(complaints, Index(at + ".matchExpressions", j), terms[i].matchExpressions[j]);
    }
    for (std::size_t j = 0; j < terms[i].matchFields.size(); ++j) {
      CheckField(complaints, Index(at + ".matchFields", j), terms[i].matchFields[j]);
    }
  }
}

}  // namespace burstlet::provider::validation
