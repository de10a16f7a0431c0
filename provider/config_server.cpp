// The fields of the kubelet port: who may connect, by which TLS, and what they may do.
#include "kube/server/tls_options.h"
#include "metrics/status.h"
#include "provider/config_fields.h"

namespace burstlet::provider::fields {
namespace {

/// As in KubeletConfiguration zero is the default.
Field Ttl(std::chrono::seconds& out) {
  return {[&out](const YamlNode& node) -> absl::Status {
            std::chrono::seconds value{0};
            RETURN_IF_ERROR(Duration(value, 0, 86400).take(node));
            if (value.count() > 0) out = value;
            return absl::OkStatus();
          },
          Duration(out, 0, 86400).show};
}

Fields AuthenticationFields(Config& config) {
  return {
      {"x509", Group("authentication.x509", {{"clientCAFile", Text(config.client_ca_file)}})},
      {"webhook", Group("authentication.webhook", {{"enabled", Boolean(config.webhook_authentication)},
                                                   {"cacheTTL", Ttl(config.token_cache_ttl)}})},
      {"anonymous", Group("authentication.anonymous", {{"enabled", Boolean(config.anonymous_authentication)}})},
  };
}

Fields AuthorizationFields(Config& config) {
  return {
      {"mode", Choice(config.authorization_mode, {"Webhook", "AlwaysAllow"})},
      {"webhook", Group("authorization.webhook", {{"cacheAuthorizedTTL", Ttl(config.authorized_cache_ttl)},
                                                  {"cacheUnauthorizedTTL", Ttl(config.unauthorized_cache_ttl)}})},
  };
}

/// True where nothing is said and a bootstrap kubeconfig is there.
Field RotateCertificates(Config& config) {
  return {[&config](const YamlNode& node) { return Boolean(config.rotate_certificates.emplace()).take(node); },
          [&config] {
            const bool rotates = config.rotate_certificates.value_or(!config.bootstrap_kubeconfig.empty());
            return std::string(rotates ? "true" : "false");
          }};
}

}  // namespace

Fields ServerFields(Config& config) {
  return {
      {"authentication", Group("authentication", AuthenticationFields(config))},
      {"authorization", Group("authorization", AuthorizationFields(config))},
      {"address", Text(config.address)},
      {"port", Integer(config.port, 0, 65535)},
      {"tlsCertFile", Text(config.tls_cert_file)},
      {"tlsPrivateKeyFile", Text(config.tls_private_key_file)},
      {"tlsMinVersion", Text(config.tls_min_version)},
      {"tlsCipherSuites", TextList(config.tls_cipher_suites)},
      {"enableSystemLogHandler", Boolean(config.enable_system_log_handler)},
      {"enableSystemLogQuery", Boolean(config.enable_system_log_query)},
      {"enableDebugFlagsHandler", Boolean(config.enable_debug_flags_handler)},
      {"rotateCertificates", RotateCertificates(config)},
      {"serverTLSBootstrap", Boolean(config.server_tls_bootstrap)},
      {"logging", Group("logging", {{"format", Choice(config.log_format, {"text", "json"})},
                                    {"verbosity", Integer(config.verbosity, 0, 10)}})},
      {"tracing",
       Group("tracing", {{"endpoint", Text(config.tracing_endpoint)},
                         {"samplingRatePerMillion", Integer(config.tracing_sampling_rate_per_million, 0, 1'000'000)}})},
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

}  // namespace burstlet::provider
