// Prints what a pod without an API server becomes, for comparison with a server's dry run.
//
// pod_defaults FILE...: each file holds one pod as YAML; a JSON list of {"file", "pod", "errors"} on standard output.
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "kube/json.h"
#include "provider/defaults.h"
#include "provider/yaml.h"

namespace {

using burstlet::kube::EncodeText;

std::string Describe(const std::string& text) {
  const auto documents = burstlet::provider::ParseYaml(text);
  if (!documents.ok()) return "\"errors\":[" + EncodeText(std::string(documents.status().message())) + "]";
  if (documents->size() != 1) return "\"errors\":[\"expected one document\"]";
  auto pod = burstlet::kube::Decode<burstlet::kube::Pod>(burstlet::provider::YamlToJson(documents->front()));
  if (!pod.ok()) return "\"errors\":[" + EncodeText(std::string(pod.status().message())) + "]";
  if (pod->metadata.namespace_.empty()) pod->metadata.namespace_ = "default";
  burstlet::provider::ApplyPodDefaults(*pod);
  std::string errors;
  for (const std::string& error : burstlet::provider::ValidatePod(*pod)) {
    errors += (errors.empty() ? "" : ",") + EncodeText(error);
  }
  return "\"pod\":" + burstlet::kube::Encode(*pod) + ",\"errors\":[" + errors + "]";
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> files(argv + 1, argv + argc);
  std::cout << "[";
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::ifstream in(files[i]);
    std::stringstream text;
    text << in.rdbuf();
    if (!in) {
      std::cerr << "cannot read " << files[i] << "\n";
      return 1;
    }
    std::cout << (i == 0 ? "" : ",\n") << "{\"file\":" << EncodeText(files[i]) << "," << Describe(text.str()) << "}";
  }
  std::cout << "]\n";
  return 0;
}
