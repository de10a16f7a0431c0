#include "provider/cni/cni_config.h"

#include <dirent.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kLongestConfig = 1 << 20;
constexpr std::size_t kMostPlugins = 32;
constexpr const char* kOldestVersion = "0.1.0";

/// The specification's form of a network's name: it becomes part of paths and of rules.
bool ValidName(const std::string& name) {
  const auto good = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-'; };
  return !name.empty() && std::isalnum(static_cast<unsigned char>(name[0])) != 0 &&
         std::all_of(name.begin(), name.end(), good);
}

absl::StatusOr<CniPluginConfig> ParsePlugin(const cache::Json& json) {
  CniPluginConfig plugin;
  plugin.json = json;
  plugin.type = json["type"].Text();
  if (!ValidName(plugin.type)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", plugin.type, "\" is no type of a plugin"));
  }
  for (const auto& [name, wanted] : json["capabilities"].object) {
    if (wanted.boolean) plugin.capabilities.insert(name);
  }
  return plugin;
}

bool IsConfigName(const std::string& name) {
  for (const char* end : {".conf", ".conflist", ".json"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<CniNetworkConfig> ParseCniConfig(const std::string& file, std::string_view text) {
  const auto wrong = [&file](std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": ", std::string(why)));
  };
  const absl::StatusOr<cache::Json> json = cache::ParseJson(text, kLongestConfig);
  if (!json.ok()) return wrong(std::string(json.status().message()));
  CniNetworkConfig config;
  config.file = file;
  config.name = (*json)["name"].Text();
  config.version = (*json)["cniVersion"].Text();
  if (config.version.empty()) config.version = kOldestVersion;
  if (!ValidName(config.name)) return wrong("name: letters, digits, '.', '_' and '-' are expected");
  std::vector<cache::Json> plugins = (*json)["plugins"].array;
  // A file of one plugin is the plugin's object itself.
  if (!(*json)["plugins"].IsArray()) plugins = {*json};
  if (plugins.empty() || plugins.size() > kMostPlugins) return wrong("plugins: 1 to 32 are expected");
  for (std::size_t i = 0; i < plugins.size(); ++i) {
    absl::StatusOr<CniPluginConfig> plugin = ParsePlugin(plugins[i]);
    if (!plugin.ok()) return wrong(absl::StrCat("plugins[", i, "].type: ", std::string(plugin.status().message())));
    config.plugins.push_back(*std::move(plugin));
  }
  return config;
}

absl::StatusOr<CniNetworkConfig> LoadCniConfig(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
  if (stream == nullptr) return ErrnoError(errno, directory);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream.get())) {
    if (IsConfigName(entry->d_name)) names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(directory, "/", name);
    const absl::StatusOr<std::string> text = sandbox::ReadFile(path, kLongestConfig);
    absl::StatusOr<CniNetworkConfig> config = text.ok() ? ParseCniConfig(path, *text) : text.status();
    if (config.ok()) return config;
    Warn("Passed over a CNI configuration", {{"err", std::string(config.status().message())}});
  }
  return absl::NotFoundError(absl::StrCat("no network configuration in ", directory));
}

cache::Json CniConfigJson(const CniNetworkConfig& config) {
  cache::Json json = cache::Json::Object();
  json.object["name"] = config.name;
  json.object["cniVersion"] = config.version;
  cache::Json plugins = cache::Json::Array();
  for (const CniPluginConfig& plugin : config.plugins) plugins.array.push_back(plugin.json);
  json.object["plugins"] = std::move(plugins);
  return json;
}

bool CniVersionAtLeast(const std::string& version, int major, int minor) {
  int has_major = 0, has_minor = 0;
  if (std::sscanf(version.c_str(), "%d.%d", &has_major, &has_minor) != 2) return false;
  return has_major != major ? has_major > major : has_minor >= minor;
}

}  // namespace burstlet::provider
