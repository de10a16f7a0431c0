// The fields of the kubelet port: who may connect, by which TLS, and what they may do.
#include "absl/strings/str_cat.h"
#include "kube/json.h"
#include "kube/server/tls_options.h"
#include "metrics/status.h"
#include "provider/config_fields.h"

namespace burstlet::provider::fields {
namespace {

/// As in KubeletConfiguration zero is the default.
Setter Ttl(std::chrono::seconds& out) {
  return [&out](const YamlNode& node) -> absl::Status {
    std::chrono::seconds value{0};
    RETURN_IF_ERROR(Duration(value, 0, 86400)(node));
    if (value.count() > 0) out = value;
    return absl::OkStatus();
  };
}

Fields AuthenticationFields(Config& config) {
  return {
      {"x509",
       [&](const YamlNode& n) {
         return Apply(n, "authentication.x509", {{"clientCAFile", Text(config.client_ca_file)}});
       }},
      {"webhook",
       [&](const YamlNode& n) {
         return Apply(n, "authentication.webhook",
                      {{"enabled", Boolean(config.webhook_authentication)}, {"cacheTTL", Ttl(config.token_cache_ttl)}});
       }},
      {"anonymous",
       [&](const YamlNode& n) {
         return Apply(n, "authentication.anonymous", {{"enabled", Boolean(config.anonymous_authentication)}});
       }},
  };
}

Fields AuthorizationFields(Config& config) {
  return {
      {"mode", Choice(config.authorization_mode, {"Webhook", "AlwaysAllow"})},
      {"webhook",
       [&](const YamlNode& n) {
         return Apply(n, "authorization.webhook",
                      {{"cacheAuthorizedTTL", Ttl(config.authorized_cache_ttl)},
                       {"cacheUnauthorizedTTL", Ttl(config.unauthorized_cache_ttl)}});
       }},
  };
}

}  // namespace

Fields ServerFields(Config& config) {
  return {
      {"authentication", [&](const YamlNode& n) { return Apply(n, "authentication", AuthenticationFields(config)); }},
      {"authorization", [&](const YamlNode& n) { return Apply(n, "authorization", AuthorizationFields(config)); }},
      {"address", Text(config.address)},
      {"port", Integer(config.port, 0, 65535)},
      {"tlsCertFile", Text(config.tls_cert_file)},
      {"tlsPrivateKeyFile", Text(config.tls_private_key_file)},
      {"tlsMinVersion", Text(config.tls_min_version)},
      {"tlsCipherSuites", TextList([&](std::string item) {
         config.tls_cipher_suites.push_back(std::move(item));
         return absl::OkStatus();
       })},
      {"enableSystemLogHandler", Boolean(config.enable_system_log_handler)},
      {"enableSystemLogQuery", Boolean(config.enable_system_log_query)},
      {"enableDebugFlagsHandler", Boolean(config.enable_debug_flags_handler)},
      {"rotateCertificates", [&](const YamlNode& n) { return Boolean(config.rotate_certificates.emplace())(n); }},
      {"serverTLSBootstrap", Boolean(config.server_tls_bootstrap)},
      {"logging",
       [&](const YamlNode& n) {
         return Apply(n, "logging",
                      {{"format", Choice(config.log_format, {"text", "json"})},
                       {"verbosity", Integer(config.verbosity, 0, 10)}});
       }},
      {"tracing",
       [&](const YamlNode& n) {
         return Apply(n, "tracing",
                      {{"endpoint", Text(config.tracing_endpoint)},
                       {"samplingRatePerMillion", Integer(config.tracing_sampling_rate_per_million, 0, 1'000'000)}});
       }},
  };
}

}  // namespace burstlet::provider::fields

namespace burstlet::provider {

absl::Status CheckServerConfig(const Config& config) {
  if (config.tls_cert_file.empty() != config.tls_private_key_file.empty()) {
    return absl::InvalidArgumentError("tlsCertFile and tlsPrivateKeyFile go together");
  }
  if (config.enable_system_log_query && !config.enable_system_log_handler) {
    return absl::InvalidArgumentError("enableSystemLogQuery: needs enableSystemLogHandler");
  }
  if (config.server_tls_bootstrap && !config.tls_cert_file.empty()) {
    return absl::InvalidArgumentError("serverTLSBootstrap: not beside tlsCertFile");
  }
  const bool rotates = config.rotate_certificates.value_or(!config.bootstrap_kubeconfig.empty());
  if ((rotates || config.server_tls_bootstrap) && config.kubeconfig.empty()) {
    return absl::InvalidArgumentError("certificates by CSR need --kubeconfig, which names the node's identity");
  }
  if (!config.cert_dir.empty() && config.cert_dir[0] != '/') {
    return absl::InvalidArgumentError("--cert-dir: an absolute path is needed");
  }
  RETURN_IF_ERROR(Annotate(kube::TlsMinVersion(config.tls_min_version).status(), "tlsMinVersion"));
  RETURN_IF_ERROR(Annotate(kube::TlsCipherList(config.tls_cipher_suites).status(), "tlsCipherSuites"));
  return absl::OkStatus();
}

std::string ServerConfigJson(const Config& config) {
  const auto boolean = [](bool value) { return value ? "true" : "false"; };
  std::string suites;
  for (const std::string& suite : config.tls_cipher_suites) {
    absl::StrAppend(&suites, suites.empty() ? "" : ",", kube::EncodeText(suite));
  }
  return absl::StrCat(
      "\"authentication\":{\"x509\":{\"clientCAFile\":", kube::EncodeText(config.client_ca_file),
      "},\"webhook\":{\"enabled\":", boolean(config.webhook_authentication), ",\"cacheTTL\":\"",
      config.token_cache_ttl.count(), "s\"},\"anonymous\":{\"enabled\":", boolean(config.anonymous_authentication),
      "}},\"authorization\":{\"mode\":", kube::EncodeText(config.authorization_mode),
      ",\"webhook\":{\"cacheAuthorizedTTL\":\"", config.authorized_cache_ttl.count(), "s\",\"cacheUnauthorizedTTL\":\"",
      config.unauthorized_cache_ttl.count(), "s\"}},\"tlsCertFile\":", kube::EncodeText(config.tls_cert_file),
      ",\"tlsPrivateKeyFile\":", kube::EncodeText(config.tls_private_key_file),
      ",\"tlsMinVersion\":", kube::EncodeText(config.tls_min_version), ",\"tlsCipherSuites\":[", suites,
      "],\"rotateCertificates\":", boolean(config.rotate_certificates.value_or(!config.bootstrap_kubeconfig.empty())),
      ",\"serverTLSBootstrap\":", boolean(config.server_tls_bootstrap));
}

}  // namespace burstlet::provider
