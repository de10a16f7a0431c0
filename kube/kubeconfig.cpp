// Kubeconfig files. The one place of this folder that reads YAML; its exceptions end here.
#include <yaml-cpp/yaml.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kube/client.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

/// A text member of a map, "" when it is not there.
std::string Text(const YAML::Node& map, const char* key) {
  if (!map.IsMap()) return "";
  const YAML::Node value = map[key];
  return value && value.IsScalar() ? value.Scalar() : std::string();
}

absl::StatusOr<std::string> Base64Text(const YAML::Node& map, const char* key, const std::string& where) {
  std::string out;
  if (!absl::Base64Unescape(Text(map, key), &out)) {
    return absl::InvalidArgumentError(absl::StrCat(where, ".", key, ": expected base64"));
  }
  return out;
}

/// The `field` of the entry of `list` with this name.
absl::StatusOr<YAML::Node> Named(const YAML::Node& root, const char* list, const char* field, const std::string& name) {
  if (name.empty()) return absl::InvalidArgumentError(absl::StrCat("no ", field, " is named"));
  const YAML::Node entries = root[list];
  if (entries && entries.IsSequence()) {
    for (const YAML::Node& entry : entries) {
      if (entry.IsMap() && Text(entry, "name") == name && entry[field] && entry[field].IsMap()) return entry[field];
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(list, " has no ", field, " \"", name, "\""));
}

std::string Resolve(const std::string& path, const std::string& base_dir) {
  if (path.empty() || path[0] == '/' || base_dir.empty()) return path;
  return absl::StrCat(base_dir, "/", path);
}

absl::Status ReadCluster(const YAML::Node& cluster, const std::string& where, const std::string& base_dir,
                         ClientConfig& config) {
  config.server = Text(cluster, "server");
  if (config.server.rfind("https://", 0) != 0 && config.server.rfind("http://", 0) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(where, ".server: expected an https:// address"));
  }
  while (config.server.back() == '/') config.server.pop_back();
  config.ca_file = Resolve(Text(cluster, "certificate-authority"), base_dir);
  ASSIGN_OR_RETURN(config.ca_data, Base64Text(cluster, "certificate-authority-data", where));
  config.tls_server_name = Text(cluster, "tls-server-name");
  config.insecure_skip_verify = Text(cluster, "insecure-skip-tls-verify") == "true";
  config.proxy_url = Text(cluster, "proxy-url");
  return absl::OkStatus();
}

absl::Status ReadUser(const YAML::Node& user, const std::string& where, const std::string& base_dir,
                      ClientConfig& config) {
  for (const char* refused : {"exec", "auth-provider", "username", "as"}) {
    if (user[refused]) return absl::InvalidArgumentError(absl::StrCat(where, ".", refused, ": not supported"));
  }
  config.cert_file = Resolve(Text(user, "client-certificate"), base_dir);
  ASSIGN_OR_RETURN(config.cert_data, Base64Text(user, "client-certificate-data", where));
  config.key_file = Resolve(Text(user, "client-key"), base_dir);
  ASSIGN_OR_RETURN(config.key_data, Base64Text(user, "client-key-data", where));
  config.token = Text(user, "token");
  config.token_file = Resolve(Text(user, "tokenFile"), base_dir);
  const bool cert = !config.cert_file.empty() || !config.cert_data.empty();
  const bool key = !config.key_file.empty() || !config.key_data.empty();
  if (cert != key) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": a client certificate and its key belong together"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ClientConfig> Parse(const std::string& yaml_text, const std::string& base_dir) {
  const YAML::Node root = YAML::Load(yaml_text);
  if (!root.IsMap()) return absl::InvalidArgumentError("expected a mapping");
  const std::string context_name = Text(root, "current-context");
  ASSIGN_OR_RETURN(const YAML::Node context, Named(root, "contexts", "context", context_name));
  const std::string cluster_name = Text(context, "cluster");
  const std::string user_name = Text(context, "user");
  ASSIGN_OR_RETURN(const YAML::Node cluster, Named(root, "clusters", "cluster", cluster_name));
  ClientConfig config;
  RETURN_IF_ERROR(ReadCluster(cluster, absl::StrCat("clusters[", cluster_name, "].cluster"), base_dir, config));
  if (user_name.empty()) return config;
  ASSIGN_OR_RETURN(const YAML::Node user, Named(root, "users", "user", user_name));
  RETURN_IF_ERROR(ReadUser(user, absl::StrCat("users[", user_name, "].user"), base_dir, config));
  return config;
}

}  // namespace

absl::StatusOr<ClientConfig> ParseKubeconfig(const std::string& yaml_text, const std::string& base_dir) {
  try {
    auto config = Parse(yaml_text, base_dir);
    if (!config.ok()) return Annotate(config.status(), "kubeconfig");
    return config;
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("kubeconfig: ", error.what()));
  }
}

}  // namespace burstlet::kube
