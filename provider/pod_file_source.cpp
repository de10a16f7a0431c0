#include "provider/pod_file_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/json.h"
#include "metrics/status.h"
#include "provider/container_id.h"
#include "provider/defaults.h"
#include "provider/yaml.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kMaxFileBytes = 16u << 20;

absl::StatusOr<std::string> ReadInput(const std::string& file) {
  sandbox::UniqueFd fd;
  if (file != "-") {
    fd = sandbox::UniqueFd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return absl::InvalidArgumentError(absl::StrCat(file, ": ", std::strerror(errno)));
  }
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t got = read(file == "-" ? STDIN_FILENO : fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, file);
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > kMaxFileBytes) return absl::InvalidArgumentError(absl::StrCat(file, ": larger than 16 MiB"));
  }
}

/// A random UUID, from the same randomness as container ids.
std::string NewUid() {
  const std::string hex = NewContainerId();
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-4", hex.substr(13, 3), "-8", hex.substr(17, 3), "-",
                      hex.substr(20, 12));
}

template <typename T>
absl::StatusOr<T> DecodeStrict(const YamlNode& document) {
  std::vector<std::string> unknown;
  auto object = kube::Decode<T>(YamlToJson(document), &unknown);
  if (!object.ok()) return object.status();
  if (!unknown.empty()) return absl::InvalidArgumentError(absl::StrCat("unknown field \"", unknown.front(), "\""));
  if (object->metadata.namespace_.empty()) object->metadata.namespace_ = "default";
  if (object->metadata.name.empty()) return absl::InvalidArgumentError("metadata.name: Required value");
  return object;
}

/// A source that only an API server could fill; empty: there is none.
std::string ApiOnlySource(const kube::Pod& pod) {
  for (std::size_t i = 0; i < pod.spec.volumes.size(); ++i) {
    const auto& projected = pod.spec.volumes[i].projected;
    if (!projected) continue;
    for (std::size_t j = 0; j < projected->sources.size(); ++j) {
      const kube::VolumeProjection& source = projected->sources[j];
      const char* kind = source.serviceAccountToken  ? "serviceAccountToken"
                         : source.clusterTrustBundle ? "clusterTrustBundle"
                         : source.podCertificate     ? "podCertificate"
                                                     : nullptr;
      if (kind != nullptr) return absl::StrCat("spec.volumes[", i, "].projected.sources[", j, "].", kind);
    }
  }
  return "";
}

absl::Status AddPod(const YamlNode& document, const std::string& node_name, PodFiles& out) {
  ASSIGN_OR_RETURN(kube::Pod pod, DecodeStrict<kube::Pod>(document));
  pod.metadata.uid = NewUid();
  pod.metadata.generation = 1;
  pod.metadata.creationTimestamp = {
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count()};
  ApplyPodDefaults(pod);
  if (pod.spec.nodeName.empty()) pod.spec.nodeName = node_name;
  const std::vector<std::string> complaints = ValidatePod(pod);
  if (!complaints.empty()) return absl::InvalidArgumentError(absl::StrJoin(complaints, "; "));
  if (const std::string source = ApiOnlySource(pod); !source.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": needs an API server, and `burstlet run` has none"));
  }
  for (const auto& other : out.pods) {
    if (ObjectName(other->metadata) == ObjectName(pod.metadata))
      return absl::InvalidArgumentError("two pods of that name");
  }
  out.pods.push_back(std::make_shared<const kube::Pod>(std::move(pod)));
  return absl::OkStatus();
}

absl::Status AddDocument(const YamlNode& document, const std::string& node_name, PodFiles& out);

/// `kubectl get -o yaml` of several objects. In a list of one kind the items need not say it again.
absl::Status AddList(const YamlNode& list, const std::string& kind, const std::string& node_name, PodFiles& out) {
  const YamlNode* items = list.Find("items");
  if (items == nullptr || items->kind != YamlNode::Kind::kSequence) {
    return absl::InvalidArgumentError("items: Required value");
  }
  for (std::size_t i = 0; i < items->items.size(); ++i) {
    YamlNode item = items->items[i];
    const auto complete = [&](const char* field, const std::string& value) {
      if (kind == "List" || item.Find(field) != nullptr) return;
      YamlNode node;
      node.kind = YamlNode::Kind::kString;
      node.scalar = value;
      item.fields.push_back({field, std::move(node)});
    };
    complete("apiVersion", "v1");
    complete("kind", kind.substr(0, kind.size() - 4));
    RETURN_IF_ERROR(Annotate(AddDocument(item, node_name, out), absl::StrCat("items[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status AddDocument(const YamlNode& document, const std::string& node_name, PodFiles& out) {
  const YamlNode* kind = document.Find("kind");
  const YamlNode* version = document.Find("apiVersion");
  static const std::set<std::string> kLists = {"List", "PodList", "ConfigMapList", "SecretList"};
  if (kind != nullptr && version != nullptr && version->scalar == "v1" && kLists.contains(kind->scalar)) {
    return AddList(document, kind->scalar, node_name, out);
  }
  if (kind == nullptr || version == nullptr || version->scalar != "v1") {
    return absl::InvalidArgumentError("expected apiVersion v1 and a kind");
  }
  if (kind->scalar == "Pod") return AddPod(document, node_name, out);
  if (kind->scalar == "ConfigMap") {
    ASSIGN_OR_RETURN(kube::ConfigMap object, DecodeStrict<kube::ConfigMap>(document));
    const std::string key = ObjectName(object.metadata);
    if (!out.config_maps.emplace(key, std::make_shared<const kube::ConfigMap>(std::move(object))).second)
      return absl::InvalidArgumentError("two ConfigMaps of that name");
    return absl::OkStatus();
  }
  if (kind->scalar == "Secret") {
    ASSIGN_OR_RETURN(kube::Secret object, DecodeStrict<kube::Secret>(document));
    for (const auto& [name, value] : object.stringData) object.data[name].data = value;
    object.stringData.clear();
    const std::string key = ObjectName(object.metadata);
    if (!out.secrets.emplace(key, std::make_shared<const kube::Secret>(std::move(object))).second)
      return absl::InvalidArgumentError("two Secrets of that name");
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("kind ", kind->scalar, " is not Pod, ConfigMap or Secret"));
}

}  // namespace

absl::Status ParsePodFile(const std::string& file, const std::string& text, const std::string& node_name,
                          PodFiles& out) {
  auto documents = ParseYaml(text);
  if (!documents.ok()) return Annotate(documents.status(), file);
  for (const YamlNode& document : *documents) {
    std::string what = absl::StrCat(file, ": document at line ", document.line);
    if (const YamlNode* metadata = document.Find("metadata"); metadata != nullptr) {
      if (const YamlNode* name = metadata->Find("name"); name != nullptr)
        absl::StrAppend(&what, " (", name->scalar, ")");
    }
    RETURN_IF_ERROR(Annotate(AddDocument(document, node_name, out), what));
  }
  return absl::OkStatus();
}

absl::StatusOr<PodFiles> LoadPodFiles(const std::vector<std::string>& files, const std::string& node_name) {
  PodFiles out;
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(const std::string text, ReadInput(file));
    RETURN_IF_ERROR(ParsePodFile(file, text, node_name, out));
  }
  if (out.pods.empty()) return absl::InvalidArgumentError("no pod in the given files");
  return out;
}

}  // namespace burstlet::provider
