#include "provider/cni/cni_request.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "sandbox/net/bandwidth.h"

namespace burstlet::provider {
namespace {

// As other runtimes say it: the burst is what the rate allows, and no plugin takes more than 32 bits of it.
constexpr std::int64_t kBurst = INT32_MAX;

std::string LabelOf(const sandbox::SandboxSpec& spec, const char* name) {
  const auto it = spec.labels.find(name);
  return it == spec.labels.end() ? "" : it->second;
}

}  // namespace

std::string CniArgs(const sandbox::SandboxSpec& spec) {
  return absl::StrCat("IgnoreUnknown=1;K8S_POD_NAMESPACE=", LabelOf(spec, "io.kubernetes.pod.namespace"),
                      ";K8S_POD_NAME=", LabelOf(spec, "io.kubernetes.pod.name"),
                      ";K8S_POD_INFRA_CONTAINER_ID=", spec.id, ";K8S_POD_UID=", LabelOf(spec, "io.kubernetes.pod.uid"));
}

cache::Json CniRuntimeConfig(const sandbox::SandboxSpec& spec, const std::vector<std::string>& pod_cidrs) {
  cache::Json runtime = cache::Json::Object();
  if (!spec.host_ports.empty()) {
    cache::Json mappings = cache::Json::Array();
    for (const sandbox::SandboxSpec::HostPort& port : spec.host_ports) {
      cache::Json mapping = cache::Json::Object();
      mapping.object["hostPort"] = std::int64_t{port.host_port};
      mapping.object["containerPort"] = std::int64_t{port.container_port};
      mapping.object["protocol"] = port.protocol;
      mapping.object["hostIP"] = port.host_ip;
      mappings.array.push_back(std::move(mapping));
    }
    runtime.object["portMappings"] = std::move(mappings);
  }
  if (const sandbox::Bandwidth asked = sandbox::BandwidthOf(spec.labels); asked.limited()) {
    cache::Json bandwidth = cache::Json::Object();
    const auto limit = [&bandwidth](const char* rate, const char* burst, std::uint64_t bits) {
      if (bits == 0) return;
      bandwidth.object[rate] = static_cast<std::int64_t>(std::min<std::uint64_t>(bits, INT64_MAX));
      bandwidth.object[burst] = kBurst;
    };
    limit("ingressRate", "ingressBurst", asked.ingress);
    limit("egressRate", "egressBurst", asked.egress);
    runtime.object["bandwidth"] = std::move(bandwidth);
  }
  if (!pod_cidrs.empty()) {
    cache::Json sets = cache::Json::Array();
    for (const std::string& cidr : pod_cidrs) {
      cache::Json range = cache::Json::Object();
      range.object["subnet"] = cidr;
      cache::Json set = cache::Json::Array();
      set.array.push_back(std::move(range));
      sets.array.push_back(std::move(set));
    }
    runtime.object["ipRanges"] = std::move(sets);
  }
  return runtime;
}

std::string CniStdin(const CniNetworkConfig& config, const CniPluginConfig& plugin, const cache::Json& runtime,
                     const cache::Json& result) {
  cache::Json json = plugin.json;
  json.object["name"] = config.name;
  json.object["cniVersion"] = config.version;
  cache::Json wanted = cache::Json::Object();
  for (const auto& [capability, arguments] : runtime.object) {
    if (plugin.capabilities.contains(capability)) wanted.object[capability] = arguments;
  }
  if (!wanted.object.empty()) json.object["runtimeConfig"] = std::move(wanted);
  if (result.IsObject()) json.object["prevResult"] = result;
  return json.Dump();
}

}  // namespace burstlet::provider
