// What /configz tells: the table of fields, with what holds on this kind of node where there is no field.
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/config_fields.h"

namespace burstlet::provider {
namespace {

using fields::Fields;

/// Fields that KubeletConfiguration has not.
const std::set<std::string>& OwnFields() {
  static const std::set<std::string> names{"recreateNode", "nodeLabels",      "network",    "cniConfDir", "cniBinDir",
                                           "podDefaults",  "sandboxPoolSize", "registries", "imageLayers"};
  return names;
}

/// What a KubeletConfiguration would say of this node, though nobody can choose it.
const std::map<std::string, std::string>& Given() {
  static const std::map<std::string, std::string> given{
      {"cgroupDriver", R"("cgroupfs")"},
      {"cgroupsPerQOS", "true"},
      {"configMapAndSecretChangeDetectionStrategy", R"("Watch")"},
      {"containerRuntimeEndpoint", R"("")"},
      {"contentType", R"("application/json")"},
      {"cpuManagerPolicy", R"("none")"},
      {"enableControllerAttachDetach", "true"},
      {"enableDebuggingHandlers", "true"},
      {"enableProfilingHandler", "false"},
      {"enableServer", "true"},
      {"failCgroupV1", "false"},
      {"failSwapOn", "false"},
      {"healthzPort", "0"},
      {"localStorageCapacityIsolation", "true"},
      {"makeIPTablesUtilChains", "false"},
      {"memoryManagerPolicy", R"("None")"},
      {"readOnlyPort", "0"},
      {"serializeImagePulls", "false"},
      {"topologyManagerPolicy", R"("none")"},
      {"topologyManagerScope", R"("container")"},
  };
  return given;
}

}  // namespace

std::string ConfigJson(const Config& config) {
  Config shown = config;  // the table's places must be writable
  Fields all = fields::AllFields(shown);
  Fields own;
  for (const std::string& name : OwnFields()) own.insert(all.extract(name));
  const auto text = [](std::string json) { return fields::Field{{}, [json = std::move(json)] { return json; }}; };
  all["kind"] = text(R"("KubeletConfiguration")");
  all["apiVersion"] = text(R"("kubelet.config.k8s.io/v1beta1")");
  own["kind"] = text(R"("BurstletConfiguration")");
  own["apiVersion"] = text(R"("burstlet.io/v1alpha1")");
  for (const auto& [name, json] : Given()) all.try_emplace(name, text(json));
  return absl::StrCat(R"({"kubeletconfig":)", fields::Show(all), R"(,"burstletconfig":)", fields::Show(own), "}");
}

}  // namespace burstlet::provider
