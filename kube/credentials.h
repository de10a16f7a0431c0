// Who the agent is to the API server, kept fresh: certificates, keys and tokens are read anew when their files change.
//
// Owner: the transport. Loop thread only. Failure: a file that cannot be read leaves what was read before in force;
// only the first read must succeed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/client.h"

namespace burstlet::kube {

/// What the files hold now. PEM texts may be empty.
struct CredentialMaterial {
  std::string ca;
  std::string cert;
  std::string key;
  std::string token;
};

class Credentials {
 public:
  explicit Credentials(ClientConfig config);

  /// Looks at the files, at most once a second. The first call fails when a named file cannot be read.
  absl::Status Refresh();
  /// The next Refresh looks even if a second has not passed (after a 401).
  void LookNow() { looked_at_ = {}; }
  const CredentialMaterial& material() const { return material_; }
  /// Grows when ca, cert or key changed: connections made before are of another identity.
  std::uint64_t tls_generation() const { return tls_generation_; }
  const ClientConfig& config() const { return config_; }

 private:
  absl::Status Load(CredentialMaterial& material) const;
  std::string Fingerprint() const;

  const ClientConfig config_;
  CredentialMaterial material_;
  std::uint64_t tls_generation_ = 0;
  std::string fingerprint_;
  std::chrono::steady_clock::time_point looked_at_{};
};

/// A proxy that cannot be used (socks5, or spoken to by TLS) is named; "" and http:// can. kInvalidArgument.
absl::Status CheckProxy(const std::string& proxy);

/// "https://[::1]:6443" as its parts: scheme, host without brackets, port (the scheme's when none is given).
struct ServerAddress {
  std::string scheme;
  std::string host;
  std::string port;
};
ServerAddress ParseServer(const std::string& server);

/// The proxy for a server URL, or "": `configured` (kubeconfig's proxy-url), else HTTPS_PROXY or HTTP_PROXY (either
/// case) unless NO_PROXY names the host. `get` reads the environment. Source: golang.org/x/net/http/httpproxy.
std::string ProxyFor(const std::string& server, const std::string& configured,
                     const std::function<std::string(const char* name)>& get);

}  // namespace burstlet::kube
