// What a plugin is told: the pod's name by CNI_ARGS, and what the pod asks for by the capabilities that the plugin says
// it has (CNI conventions: portMappings, bandwidth, ipRanges).
//
// Threads: pure functions.
#pragma once

#include <string>
#include <vector>

#include "cache/json.h"
#include "provider/cni/cni_config.h"
#include "sandbox/net/bandwidth.h"
#include "sandbox/spec.h"

namespace burstlet::provider {

/// CNI_ARGS as container runtimes set it.
std::string CniArgs(const sandbox::SandboxSpec& spec);

/// capability -> arguments; what the pod doesn't ask for is absent. `bandwidth`: the limits that plugins shall keep.
cache::Json CniRuntimeConfig(const sandbox::SandboxSpec& spec, const std::vector<std::string>& pod_cidrs,
                             const sandbox::Bandwidth& bandwidth);

/// The configuration on a plugin's stdin. `result` is that of the plugin before, or of ADD; null = none.
std::string CniStdin(const CniNetworkConfig& config, const CniPluginConfig& plugin, const cache::Json& runtime,
                     const cache::Json& result);

}  // namespace burstlet::provider
