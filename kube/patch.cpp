#include "kube/patch.h"

#include <cpprest/json.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "kube/json.h"

namespace burstlet::kube {
namespace {

using web::json::value;

/// How the API merges the lists of one struct (the patchStrategy and patchMergeKey tags of k8s.io/api). What is not
/// named here is replaced whole when it is a list, and merged field by field when it is an object.
struct Schema {
  struct MergedList {
    std::string key;
    const Schema* element = nullptr;
  };
  std::map<std::string, MergedList> lists;
};

const Schema& Plain() {
  static const Schema schema;
  return schema;
}

const Schema& PodStatusSchema() {
  static const Schema claim{{{"mapping", {"name", &Plain()}}, {"overhead", {"name", &Plain()}}}};
  static const Schema schema{{{"conditions", {"type", &Plain()}},
                              {"hostIPs", {"ip", &Plain()}},
                              {"podIPs", {"ip", &Plain()}},
                              {"resourceClaimStatuses", {"name", &Plain()}},
                              {"nodeAllocatableResourceClaimStatuses", {"resourceClaimName", &claim}}}};
  return schema;
}

const Schema& NodeStatusSchema() {
  static const Schema schema{{{"conditions", {"type", &Plain()}}}};
  return schema;
}

/// The text of an element's merge key, "" when it has none.
std::string KeyOf(const value& element, const std::string& key) {
  if (!element.is_object()) return "";
  const auto& object = element.as_object();
  const auto found = object.find(key);
  return found == object.end() || !found->second.is_string() ? "" : found->second.as_string();
}

const value* FindElement(const web::json::array& list, const std::string& key, const std::string& wanted) {
  for (const value& element : list) {
    if (KeyOf(element, key) == wanted) return &element;
  }
  return nullptr;
}

bool SameOrder(const web::json::array& before, const web::json::array& after, const std::string& key) {
  if (before.size() != after.size()) return false;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (KeyOf(before.at(i), key) != KeyOf(after.at(i), key)) return false;
  }
  return true;
}

value DiffObjects(const web::json::object& before, const web::json::object& after, const Schema& schema);

void DiffMergedList(const std::string& name, const web::json::array& before, const web::json::array& after,
                    const Schema::MergedList& list, value& patch) {
  std::vector<value> elements;
  for (const value& element : after) {
    const std::string key = KeyOf(element, list.key);
    const value* const old = FindElement(before, list.key, key);
    if (old == nullptr) {
      elements.push_back(element);
      continue;
    }
    value changes = DiffObjects(old->as_object(), element.as_object(), *list.element);
    if (changes.size() == 0) continue;
    changes[list.key] = value::string(key);
    elements.push_back(std::move(changes));
  }
  std::set<std::string> deleted;
  for (const value& element : before) {
    const std::string key = KeyOf(element, list.key);
    if (FindElement(after, list.key, key) != nullptr || !deleted.insert(key).second) continue;
    value directive = value::object();
    directive["$patch"] = value::string("delete");
    directive[list.key] = value::string(key);
    elements.push_back(std::move(directive));
  }
  if (elements.empty() && SameOrder(before, after, list.key)) return;
  std::vector<value> order;
  for (const value& element : after) {
    value only_key = value::object();
    only_key[list.key] = value::string(KeyOf(element, list.key));
    order.push_back(std::move(only_key));
  }
  if (!elements.empty()) patch[name] = value::array(std::move(elements));
  patch["$setElementOrder/" + name] = value::array(std::move(order));
}

/// Elements can be matched only if each is an object with a text for the key.
bool CanMerge(const web::json::array& list, const std::string& key) {
  for (const value& element : list) {
    if (KeyOf(element, key).empty()) return false;
  }
  return true;
}

void DiffMember(const std::string& name, const value& before, const value& after, const Schema& schema, value& patch) {
  if (before.is_object() && after.is_object()) {
    value changes = DiffObjects(before.as_object(), after.as_object(), Plain());
    if (changes.size() > 0) patch[name] = std::move(changes);
    return;
  }
  const auto merged = schema.lists.find(name);
  if (merged != schema.lists.end() && before.is_array() && after.is_array() &&
      CanMerge(before.as_array(), merged->second.key) && CanMerge(after.as_array(), merged->second.key)) {
    DiffMergedList(name, before.as_array(), after.as_array(), merged->second, patch);
    return;
  }
  if (before != after) patch[name] = after;
}

value DiffObjects(const web::json::object& before, const web::json::object& after, const Schema& schema) {
  value patch = value::object();
  for (const auto& [name, member] : after) {
    const auto old = before.find(name);
    if (old == before.end()) {
      patch[name] = member;
    } else {
      DiffMember(name, old->second, member, schema, patch);
    }
  }
  for (const auto& [name, member] : before) {
    if (after.find(name) == after.end()) patch[name] = value::null();
  }
  return patch;
}

/// Our own encoder's text, so it parses.
value ToTree(const std::string& text) { return value::parse(text); }

template <typename T>
value Diff(const T& before, const T& after, const Schema& schema) {
  const value old_tree = ToTree(Encode(before));
  const value new_tree = ToTree(Encode(after));
  return DiffObjects(old_tree.as_object(), new_tree.as_object(), schema);
}

value Wrap(const char* name, value inner) {
  value outer = value::object();
  outer[name] = std::move(inner);
  return outer;
}

}  // namespace

std::string PodStatusPatch(const std::string& uid, const PodStatus& old_status, const PodStatus& new_status) {
  value changes = Diff(old_status, new_status, PodStatusSchema());
  if (changes.size() == 0) return "";
  value patch = Wrap("status", std::move(changes));
  patch["metadata"] = Wrap("uid", value::string(uid));
  return patch.serialize();
}

std::string NodeStatusPatch(const NodeStatus& old_status, const NodeStatus& new_status) {
  value changes = Diff(old_status, new_status, NodeStatusSchema());
  if (changes.size() == 0) return "";
  if (changes.has_field("addresses") && !old_status.addresses.empty()) {
    value replaced = changes["addresses"].is_array() ? changes["addresses"] : value::array();
    replaced[replaced.size()] = Wrap("$patch", value::string("replace"));
    changes["addresses"] = std::move(replaced);
  }
  return Wrap("status", std::move(changes)).serialize();
}

std::string MetadataPatch(const ObjectMeta& old_meta, const ObjectMeta& new_meta) {
  ObjectMeta before;
  before.labels = old_meta.labels;
  before.annotations = old_meta.annotations;
  ObjectMeta after;
  after.labels = new_meta.labels;
  after.annotations = new_meta.annotations;
  value changes = Diff(before, after, Plain());
  return changes.size() == 0 ? "" : Wrap("metadata", std::move(changes)).serialize();
}

}  // namespace burstlet::kube
