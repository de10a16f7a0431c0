// The pieces that the tables of configuration fields are made of: one setter for each kind of value.
//
// A setter takes the value into its place, or says what is wrong; the caller adds line and name. Used by the
// config*.cpp files only. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "provider/config.h"
#include "provider/yaml.h"

namespace burstlet::provider::fields {

using Setter = std::function<absl::Status(const YamlNode&)>;
using Fields = std::map<std::string, Setter>;

/// Applies one setter a field; a field without one is an error that names it. `path` is "" at the top.
absl::Status Apply(const YamlNode& node, const std::string& path, const Fields& fields);

Setter Text(std::string& out);
Setter Choice(std::string& out, std::set<std::string> allowed);
Setter Boolean(bool& out);
/// metav1.Duration ("10s", "1m30s", "500ms") within `low` and `high` seconds.
Setter Duration(std::chrono::seconds& out, std::int64_t low, std::int64_t high);
/// A CFS quota's period: 1 ms to 1 s, what the kernel takes (kubelet/apis/config/validation).
Setter QuotaPeriod(std::chrono::microseconds& out);
/// Greater than 0 and at most 1.
Setter Fraction(double& out);
Setter TextList(std::function<absl::Status(std::string)> add);
/// Names to lists of strings; a pair for each string.
Setter TextLists(std::vector<std::pair<std::string, std::string>>& out);
Setter TextMap(std::map<std::string, std::string>& out);
/// Resource names to quantities.
Setter Reservations(std::map<std::string, std::string>& out);
Setter Taints(std::vector<kube::Taint>& out);
/// A whole number within `low` and `high`, given to `take`.
Setter WholeNumber(std::function<void(std::int64_t)> take, std::int64_t low, std::int64_t high);

template <typename Number>
Setter Integer(Number& out, std::int64_t low, std::int64_t high) {
  return WholeNumber([&out](std::int64_t value) { out = static_cast<Number>(value); }, low, high);
}

/// The kubelet port's fields: address, certificates, TLS, authentication, authorization, logging.
Fields ServerFields(Config& config);

}  // namespace burstlet::provider::fields
