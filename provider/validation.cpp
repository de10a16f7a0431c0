#include <set>

#include "absl/strings/str_cat.h"
#include "provider/defaults.h"

namespace burstlet::provider {

std::vector<std::string> ValidatePod(const kube::Pod& pod) {
  std::vector<std::string> complaints;
  std::set<std::string> names;
  const auto check = [&](const std::vector<kube::Container>& containers, const char* list) {
    for (std::size_t i = 0; i < containers.size(); ++i) {
      const std::string path = absl::StrCat("spec.", list, "[", i, "]");
      if (containers[i].name.empty()) {
        complaints.push_back(path + ".name: Required value");
      } else if (!names.insert(containers[i].name).second) {
        complaints.push_back(absl::StrCat(path, ".name: Duplicate value: \"", containers[i].name, "\""));
      }
      if (containers[i].image.empty()) complaints.push_back(path + ".image: Required value");
    }
  };
  if (pod.metadata.name.empty()) complaints.emplace_back("metadata.name: Required value: name or generateName is required");
  if (pod.spec.containers.empty()) complaints.emplace_back("spec.containers: Required value");
  check(pod.spec.containers, "containers");
  check(pod.spec.initContainers, "initContainers");
  const std::string& restart = pod.spec.restartPolicy;
  if (restart != "Always" && restart != "OnFailure" && restart != "Never") {
    complaints.push_back(absl::StrCat("spec.restartPolicy: Unsupported value: \"", restart,
                                      "\": supported values: \"Always\", \"Never\", \"OnFailure\""));
  }
  return complaints;
}

}  // namespace burstlet::provider
