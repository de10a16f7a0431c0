// TLS versions and cipher suites by the names that KubeletConfiguration gives them: crypto/tls'.
//
// Pure. Source: component-base/cli/flag/ciphersuites_flag.go, Go's crypto/tls.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::kube {

/// OpenSSL's number of "VersionTLS12" and its kin; "" is TLS 1.2.
absl::StatusOr<int> TlsMinVersion(const std::string& name);

/// OpenSSL's list of the suites up to TLS 1.2; "" when only suites of TLS 1.3 are named, which cannot be chosen among.
/// No names: the suites with forward secrecy and authenticated encryption. kInvalidArgument names a suite that is
/// unknown or not in this OpenSSL.
absl::StatusOr<std::string> TlsCipherList(const std::vector<std::string>& names);

}  // namespace burstlet::kube
