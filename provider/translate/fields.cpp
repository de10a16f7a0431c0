// The downward API's values: fieldRef and resourceFieldRef, for environment and volumes alike.
#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/api/quantity.h"
#include "metrics/status.h"
#include "provider/translate/environment.h"
#include "provider/translate/resources.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

/// One code point; `size` is 0 for bytes that are no UTF-8.
struct Rune {
  std::uint32_t value = 0;
  std::size_t size = 0;
};

Rune DecodeRune(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(at);
  std::size_t size = first < 0x80 ? 1 : first >> 5 == 0x6 ? 2 : first >> 4 == 0xe ? 3 : first >> 3 == 0x1e ? 4 : 0;
  if (size == 0 || at + size > text.size()) return {};
  if (size == 1) return {first, 1};
  std::uint32_t value = first & (0x7fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if (byte(at + i) >> 6 != 0x2) return {};
    value = value << 6 | (byte(at + i) & 0x3f);
  }
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[size] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {};
  return {value, size};
}

/// strconv.IsPrint, for the ranges that are met outside of tests of it: controls, spaces, formats, private use.
bool Printable(std::uint32_t rune) {
  if (rune < 0x20 || (rune >= 0x7f && rune <= 0xa0) || rune == 0xad) return false;
  if ((rune >= 0x2000 && rune <= 0x200f) || (rune >= 0x2028 && rune <= 0x202f)) return false;
  if ((rune >= 0x205f && rune <= 0x206f) || rune == 0x3000 || rune == 0xfeff) return false;
  return !((rune >= 0xe000 && rune <= 0xf8ff) || (rune >= 0xfff9 && rune <= 0xfffb) || (rune & 0xfffe) == 0xfffe ||
           rune >= 0xe0000);
}

/// Go's strconv.Quote.
std::string GoQuote(const std::string& text) {
  std::string result = "\"";
  char buffer[16];
  for (std::size_t at = 0; at < text.size();) {
    const Rune rune = DecodeRune(text, at);
    if (rune.size == 0) {
      std::snprintf(buffer, sizeof(buffer), "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(text[at])));
      result += buffer;
      ++at;
      continue;
    }
    static const std::string kEscaped = "\a\b\f\n\r\t\v\\\"";
    static const std::string kLetters = "abfnrtv\\\"";
    const std::size_t escape = rune.value < 0x80 ? kEscaped.find(static_cast<char>(rune.value)) : std::string::npos;
    if (rune.value != 0 && escape != std::string::npos) {
      result += {'\\', kLetters[escape]};
    } else if (Printable(rune.value)) {
      result.append(text, at, rune.size);
    } else {
      std::snprintf(buffer, sizeof(buffer),
                    rune.value < 0x80      ? "\\x%02x"
                    : rune.value < 0x10000 ? "\\u%04x"
                                           : "\\U%08x",
                    rune.value);
      result += buffer;
    }
    at += rune.size;
  }
  return result + "\"";
}

/// A line `key="value"` each, sorted.
std::string FormatMap(const std::map<std::string, std::string>& map) {
  std::vector<std::string> lines;
  for (const auto& [key, value] : map) lines.push_back(absl::StrCat(key, "=", GoQuote(value)));
  return absl::StrJoin(lines, "\n");
}

/// "metadata.labels['k']" -> {"metadata.labels", "k"}.
bool SplitSubscript(const std::string& path, std::string& base, std::string& key) {
  if (path.size() < 2 || path.compare(path.size() - 2, 2, "']") != 0) return false;
  const std::size_t open = path.find("['");
  if (open == std::string::npos || open == 0 || open + 2 > path.size() - 2) return false;
  base = path.substr(0, open);
  key = path.substr(open + 2, path.size() - open - 4);
  return true;
}

std::string ValueAt(const std::map<std::string, std::string>& map, const std::string& key) {
  auto found = map.find(key);
  return found == map.end() ? "" : found->second;
}

const kube::Container* FindContainer(const kube::Pod& pod, const std::string& name, kube::Container& storage) {
  for (const auto* list : {&pod.spec.containers, &pod.spec.initContainers}) {
    for (const auto& container : *list) {
      if (container.name == name) return &container;
    }
  }
  for (const auto& ephemeral : pod.spec.ephemeralContainers) {
    if (ephemeral.name != name) continue;
    storage = AsContainer(ephemeral);
    return &storage;
  }
  return nullptr;
}

/// What stands for a limit that is not set: the pod's own limit, else what the node has to give.
kube::Quantity DefaultLimit(const kube::Pod& pod, const std::string& resource, const NodeInfo& node) {
  if ((resource == "cpu" || resource == "memory") && pod.spec.resources &&
      MilliValueOf(pod.spec.resources->limits, resource) != 0) {
    return pod.spec.resources->limits.at(resource);
  }
  auto found = node.allocatable.find(resource);
  return found == node.allocatable.end() ? kube::Quantity{"0"} : found->second;
}

std::int64_t DivideRoundedUp(std::int64_t value, std::int64_t divisor) {
  if (divisor <= 0) return value;
  return value / divisor + (value % divisor > 0 ? 1 : 0);
}

}  // namespace

absl::StatusOr<std::string> FieldValue(const kube::Pod& pod, const std::string& field_path,
                                       const std::vector<std::string>& pod_ips,
                                       const std::vector<std::string>& host_ips) {
  std::string base;
  std::string key;
  if (SplitSubscript(field_path, base, key)) {
    if (base == "metadata.annotations") return ValueAt(pod.metadata.annotations, key);
    if (base == "metadata.labels") return ValueAt(pod.metadata.labels, key);
    return absl::InvalidArgumentError(absl::StrCat("field label does not support subscript: ", field_path));
  }
  if (field_path == "metadata.annotations") return FormatMap(pod.metadata.annotations);
  if (field_path == "metadata.labels") return FormatMap(pod.metadata.labels);
  if (field_path == "metadata.name") return pod.metadata.name;
  if (field_path == "metadata.namespace") return pod.metadata.namespace_;
  if (field_path == "metadata.uid") return pod.metadata.uid;
  if (field_path == "spec.nodeName" || field_path == "spec.host") return pod.spec.nodeName;
  if (field_path == "spec.serviceAccountName") return pod.spec.serviceAccountName;
  if (field_path == "status.hostIP" || field_path == "status.hostIPs") {
    if (host_ips.empty()) return absl::FailedPreconditionError("the addresses of the node are not known");
    return field_path == "status.hostIP" ? host_ips.front() : absl::StrJoin(host_ips, ",");
  }
  if (field_path == "status.podIP") return pod_ips.empty() ? std::string() : pod_ips.front();
  if (field_path == "status.podIPs") return absl::StrJoin(pod_ips, ",");
  if (field_path == "spec.restartPolicy" || field_path == "spec.schedulerName" || field_path == "status.phase") {
    return absl::InvalidArgumentError(absl::StrCat("unsupported fieldPath: ", field_path));
  }
  return absl::InvalidArgumentError(absl::StrCat("field label not supported: ", field_path));
}

absl::StatusOr<std::string> ResourceFieldValue(const kube::Pod& pod, const std::string& container_name,
                                               const kube::ResourceFieldSelector& selector, const NodeInfo& node) {
  kube::Container storage;
  const kube::Container* container = FindContainer(pod, container_name, storage);
  if (container == nullptr) return absl::NotFoundError(absl::StrCat("container ", container_name, " not found"));
  const std::size_t dot = selector.resource.find('.');
  const std::string list = selector.resource.substr(0, dot);
  const std::string name = dot == std::string::npos ? "" : selector.resource.substr(dot + 1);
  const bool ordinary = name == "cpu" || name == "memory" || name == "ephemeral-storage";
  const bool huge_pages = name.rfind("hugepages-", 0) == 0;
  if ((list != "limits" && list != "requests") || (!ordinary && !huge_pages)) {
    return absl::InvalidArgumentError(absl::StrCat("unsupported container resource : ", selector.resource));
  }
  const kube::ResourceList& values = list == "limits" ? container->resources.limits : container->resources.requests;
  auto found = values.find(name);
  kube::Quantity value = found == values.end() ? kube::Quantity{"0"} : found->second;
  if (list == "limits" && ordinary && kube::CompareQuantity(value, {"0"}) == 0) value = DefaultLimit(pod, name, node);
  kube::Quantity divisor = selector.divisor;
  if (divisor.text.empty() || kube::CompareQuantity(divisor, {"0"}) == 0) divisor.text = "1";
  const std::int64_t result = name == "cpu"
                                  ? DivideRoundedUp(kube::QuantityMilliValue(value), kube::QuantityMilliValue(divisor))
                                  : DivideRoundedUp(kube::QuantityValue(value), kube::QuantityValue(divisor));
  return std::to_string(result);
}

}  // namespace burstlet::provider
