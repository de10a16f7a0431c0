// CNI network configurations as an administrator or a DaemonSet puts them into a folder (CNI specification 1.0, section
// 1).
//
// The first file by name that is whole is the node's network; broken ones before it are logged and passed over, as
// container runtimes do. Threads: values and pure functions. Failure: kInvalidArgument with the file's name;
// kNotFound: the folder holds no network.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/json.h"

namespace burstlet::provider {

/// One plugin of the list: its object as it was written, with all fields that are only the plugin's business.
struct CniPluginConfig {
  std::string type;  // name of the program, never a path
  std::set<std::string> capabilities;
  cache::Json json;
};

struct CniNetworkConfig {
  std::string file;
  std::string name;
  std::string version;  // cniVersion, "0.1.0" where it is missing
  std::vector<CniPluginConfig> plugins;
};

/// A list (`plugins`) or one plugin alone. The text is at most 1 MiB.
absl::StatusOr<CniNetworkConfig> ParseCniConfig(const std::string& file, std::string_view text);

/// The folder's network: the first of *.conf, *.conflist and *.json by name.
absl::StatusOr<CniNetworkConfig> LoadCniConfig(const std::string& directory);

/// The list as one JSON object, as ParseCniConfig takes it.
cache::Json CniConfigJson(const CniNetworkConfig& config);

/// `version` is at least major.minor: "1.0.0" is at least 0.4.
bool CniVersionAtLeast(const std::string& version, int major, int minor);

}  // namespace burstlet::provider
