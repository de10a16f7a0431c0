// The walk over a pod's fields that finds the first one not supported.
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "provider/supported_fields.h"

namespace burstlet::provider {
namespace {

/// The table by path, for one look-up a field.
const std::unordered_map<std::string, const FieldSupport*>& Index() {
  static const auto* const index = [] {
    auto* map = new std::unordered_map<std::string, const FieldSupport*>;
    for (const FieldSupport& field : PodFieldTable()) map->emplace(field.path, &field);
    return map;
  }();
  return *index;
}

/// Paths that have refused values, or lead to some.
bool LeadsToRefusedValue(const std::string& path) {
  for (const RefusedValue& refused : RefusedFieldValues()) {
    if (refused.path.rfind(path, 0) == 0) return true;
  }
  return false;
}

/// Visits the set fields of a struct; `path_` is as in the table, `shown_` has the indexes of this pod.
class Walker {
 public:
  template <typename T>
  void operator()(const char* name, const T& value, kube::Presence) {
    if (found_ || !IsSet(value)) return;
    const std::size_t path_size = path_.size();
    const std::size_t shown_size = shown_.size();
    std::string json_name = name;
    if (json_name.ends_with('_')) json_name.pop_back();
    path_ += "." + json_name;
    shown_ += "." + json_name;
    Visit(value);
    path_.resize(path_size);
    shown_.resize(shown_size);
  }

  std::optional<Refusal> found() const { return found_; }

 private:
  static bool IsSet(const std::string& value) { return !value.empty(); }
  static bool IsSet(bool value) { return value; }
  static bool IsSet(std::int32_t value) { return value != 0; }
  static bool IsSet(std::int64_t value) { return value != 0; }
  static bool IsSet(const kube::RawJson& value) { return !value.text.empty() && value.text != "null"; }
  template <typename T>
  static bool IsSet(const std::optional<T>& value) {
    return value.has_value();
  }
  template <typename T>
  static bool IsSet(const std::vector<T>& value) {
    return !value.empty();
  }
  template <typename T>
  static bool IsSet(const std::map<std::string, T>& value) {
    return !value.empty();
  }
  template <typename T>
    requires std::is_class_v<T>
  static bool IsSet(const T&) {
    return true;
  }

  template <typename T>
  void Visit(const T& value) {
    const auto row = Index().find(path_);
    if (row == Index().end()) return Descend(value);
    if (!row->second->supported) {
      Refuse(row->second->note);
    } else if (LeadsToRefusedValue(path_)) {
      Descend(value);
    }
  }

  template <typename T>
  void Descend(const std::optional<T>& value) {
    Descend(*value);
  }
  template <typename T>
  void Descend(const std::vector<T>& values) {
    const std::size_t path_size = path_.size();
    const std::size_t shown_size = shown_.size();
    path_ += "[]";
    for (std::size_t i = 0; i < values.size() && !found_; ++i) {
      shown_ += absl::StrCat("[", i, "]");
      Descend(values[i]);
      shown_.resize(shown_size);
    }
    path_.resize(path_size);
  }
  template <typename T>
  void Descend(const std::map<std::string, T>&) {
    CheckValue("");
  }
  void Descend(const std::string& value) { CheckValue(value); }
  void Descend(bool value) { CheckValue(value ? "true" : "false"); }
  void Descend(std::int32_t value) { CheckValue(absl::StrCat(value)); }
  void Descend(std::int64_t value) { CheckValue(absl::StrCat(value)); }
  void Descend(const kube::Quantity& value) { CheckValue(value.text); }
  void Descend(const kube::IntOrString& value) { CheckValue(value.text); }
  void Descend(const kube::RawJson&) { CheckValue(""); }
  template <typename T>
    requires std::is_class_v<T>
  void Descend(const T& value) {
    VisitFields(*this, value);
  }

  /// A leaf: its value may be refused, and a leaf outside the table is a field that nobody decided on.
  void CheckValue(const std::string& value) {
    for (const RefusedValue& refused : RefusedFieldValues()) {
      if (refused.path != path_) continue;
      const std::string& wanted = refused.value;
      const bool same =
          wanted.ends_with('*') ? value.rfind(wanted.substr(0, wanted.size() - 1), 0) == 0 : value == wanted;
      if (same) Refuse(absl::StrCat(value, " is ", refused.note));
    }
    if (!found_ && !Covered()) Refuse("not a field that this version of burstlet knows");
  }

  bool Covered() const {
    std::string path = path_;
    while (true) {
      if (Index().count(path) != 0) return true;
      const std::size_t cut = path.find_last_of(".[");
      if (cut == std::string::npos) return false;
      path.resize(cut);
    }
  }

  void Refuse(const std::string& why) { found_ = Refusal{"UnsupportedField", absl::StrCat(shown_, ": ", why)}; }

  std::string path_ = "spec";
  std::string shown_ = "spec";
  std::optional<Refusal> found_;
};

}  // namespace

std::optional<Refusal> CheckSupported(const kube::Pod& pod) {
  Walker walker;
  VisitFields(walker, pod.spec);
  return walker.found();
}

}  // namespace burstlet::provider
