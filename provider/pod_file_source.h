// Pods out of YAML files: the source of `burstlet run`.
//
// A file holds Pod documents, and ConfigMap and Secret documents that its pods refer to. Strict: unknown fields and
// kinds are errors that name file and document. Blocking, before the loop runs.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/core.h"
#include "kube/api/pod.h"

namespace burstlet::provider {

struct PodFiles {
  std::vector<std::shared_ptr<const kube::Pod>> pods;
  /// By "namespace/name".
  std::map<std::string, std::shared_ptr<const kube::ConfigMap>> config_maps;
  std::map<std::string, std::shared_ptr<const kube::Secret>> secrets;
};

/// Reads, decodes, defaults and validates; each pod gets a UID and the node's name. "-" is standard input.
absl::StatusOr<PodFiles> LoadPodFiles(const std::vector<std::string>& files, const std::string& node_name);
/// The same for one text, for tests; `file` names it in errors.
absl::Status ParsePodFile(const std::string& file, const std::string& text, const std::string& node_name,
                          PodFiles& out);

}  // namespace burstlet::provider
