// A serving certificate of the node's own making, for clusters that do not verify kubelets (or not yet).
//
// ECDSA P-256, one year, the node's name and addresses as SANs. Threads: any. Failure: kInternal with OpenSSL's words.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::kube {

struct KeyPair {
  std::string certificate_pem;
  std::string key_pem;
};

absl::StatusOr<KeyPair> SelfSigned(const std::string& name, const std::vector<std::string>& addresses);

}  // namespace burstlet::kube
