#include "kube/certificates/bootstrap.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kube/certificates/key_pair.h"
#include "kube/credentials.h"
#include "kube/json.h"
#include "metrics/status.h"

namespace burstlet::kube {

absl::Status CheckClientCertificate(const ClientConfig& config, std::chrono::system_clock::time_point now) {
  Credentials credentials(config);
  RETURN_IF_ERROR(credentials.Refresh());
  const CredentialMaterial& material = credentials.material();
  if (material.cert.empty()) return absl::NotFoundError("it has no client certificate");
  RETURN_IF_ERROR(ReadKeyPair(material.cert, material.key));
  ASSIGN_OR_RETURN(const auto expiry, ChainExpiry(material.cert));
  if (expiry <= now) return absl::FailedPreconditionError("its client certificate has expired");
  return absl::OkStatus();
}

std::string BootstrappedKubeconfig(const ClientConfig& bootstrap, const std::string& pair_path) {
  // JSON strings are YAML strings too, whatever is in them.
  std::string cluster = absl::StrCat("    server: ", EncodeText(bootstrap.server), "\n");
  const auto add = [&cluster](const char* field, const std::string& value) {
    if (!value.empty()) absl::StrAppend(&cluster, "    ", field, ": ", EncodeText(value), "\n");
  };
  if (bootstrap.ca_data.empty()) add("certificate-authority", bootstrap.ca_file);
  add("certificate-authority-data", absl::Base64Escape(bootstrap.ca_data));
  add("tls-server-name", bootstrap.tls_server_name);
  add("proxy-url", bootstrap.proxy_url);
  if (bootstrap.insecure_skip_verify) cluster += "    insecure-skip-tls-verify: true\n";
  const std::string path = EncodeText(pair_path);
  return absl::StrCat(
      "apiVersion: v1\nkind: Config\nclusters:\n- name: default-cluster\n  cluster:\n", cluster,
      "contexts:\n- name: default-context\n  context:\n    cluster: default-cluster\n    namespace: default\n"
      "    user: default-auth\ncurrent-context: default-context\nusers:\n- name: default-auth\n  user:\n"
      "    client-certificate: ",
      path, "\n    client-key: ", path, "\n");
}

}  // namespace burstlet::kube
