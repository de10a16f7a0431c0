// The tables of configuration fields and the pieces they are made of: for each kind of value one that takes it from
// the file and shows it again.
//
// `take` puts the value into its place, or says what is wrong; the caller adds line and name. Used by the config*.cpp
// files only. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "provider/config.h"
#include "provider/yaml.h"

namespace burstlet::provider::fields {

using Setter = std::function<absl::Status(const YamlNode&)>;

struct Field {
  Setter take;
  /// As JSON, for /configz; "": there is none, and it is left out, as the kubelet leaves out what is empty.
  std::function<std::string()> show;
};
using Fields = std::map<std::string, Field>;

/// Applies one setter a field; a field without one is an error that names it. `path` is "" at the top.
absl::Status Apply(const YamlNode& node, const std::string& path, const Fields& fields);
/// A JSON object of what is to be shown.
std::string Show(const Fields& fields);

Field Text(std::string& out);
Field Choice(std::string& out, std::set<std::string> allowed);
Field Boolean(bool& out);
/// metav1.Duration ("10s", "1m30s", "500ms") within `low` and `high` seconds.
Field Duration(std::chrono::seconds& out, std::int64_t low, std::int64_t high);
/// A CFS quota's period: 1 ms to 1 s, what the kernel takes (kubelet/apis/config/validation).
Field QuotaPeriod(std::chrono::microseconds& out);
/// Greater than 0 and at most 1.
Field Fraction(double& out);
Field TextList(std::vector<std::string>& out);
Field TextSet(std::set<std::string>& out);
/// Several words in one text, with any of `separators` between them; shown with the first.
Field JoinedText(std::vector<std::string>& out, std::string separators);
/// Names to lists of strings; a pair for each string. Not shown: headers may be secret.
Field TextLists(std::vector<std::pair<std::string, std::string>>& out);
Field TextMap(std::map<std::string, std::string>& out);
/// Resource names to quantities.
Field Reservations(std::map<std::string, std::string>& out);
Field Taints(std::vector<kube::Taint>& out);
/// A size ("10Mi") in bytes.
Field Size(std::int64_t& out);
/// Fields of their own below `path`.
Field Group(std::string path, Fields fields);
/// A whole number within `low` and `high`, given to `take`.
Setter WholeNumber(std::function<void(std::int64_t)> take, std::int64_t low, std::int64_t high);

template <typename Number>
Field Integer(Number& out, std::int64_t low, std::int64_t high) {
  return {WholeNumber([&out](std::int64_t value) { out = static_cast<Number>(value); }, low, high),
          [&out] { return absl::StrCat(static_cast<std::int64_t>(out)); }};
}

/// A duration as Go writes it: "1m30s", "100ms".
std::string DurationText(std::chrono::microseconds duration);

/// The kubelet port's fields: address, certificates, TLS, authentication, authorization, logging.
Fields ServerFields(Config& config);
/// All of them, but for apiVersion and kind.
Fields AllFields(Config& config);

}  // namespace burstlet::provider::fields
