#include "provider/cni/cni_request.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace burstlet::provider {
namespace {

// What may go at once, in bits: a tenth of a second's, but some packets' in any case, as in the built-in network. Other
// runtimes say 2^31, and their pods go unlimited for their first 256 MiB. No plugin takes more than 32 bits of it.
constexpr std::uint64_t kLeastBurst = 1 << 20;
constexpr std::uint64_t kMostBurst = INT32_MAX;
constexpr std::uint64_t kBurstsPerSecond = 10;

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

cache::Json CniRuntimeConfig(const sandbox::SandboxSpec& spec, const std::vector<std::string>& pod_cidrs,
                             const sandbox::Bandwidth& bandwidth) {
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
  if (bandwidth.limited()) {
    cache::Json limits = cache::Json::Object();
    const auto limit = [&limits](const char* rate, const char* burst, std::uint64_t bits) {
      if (bits == 0) return;
      limits.object[rate] = static_cast<std::int64_t>(std::min<std::uint64_t>(bits, INT64_MAX));
      limits.object[burst] = static_cast<std::int64_t>(std::clamp(bits / kBurstsPerSecond, kLeastBurst, kMostBurst));
    };
    limit("ingressRate", "ingressBurst", bandwidth.ingress);
    limit("egressRate", "egressBurst", bandwidth.egress);
    runtime.object["bandwidth"] = std::move(limits);
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
