// PEM text and the bytes in it; keys with the proof of their possession.
//
// Threads: any. Failure: kInvalidArgument for an unknown key type, kInternal with OpenSSL's words.
// Source: pkg/kubelet/podcertificate (key types and proof), encoding/pem.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::kube {

/// The bytes of each block, whatever its name. Text between blocks and blocks' headers are left out, broken blocks
/// passed over.
std::vector<std::string> PemBlocks(const std::string& text);

/// Certificates as PEM, without anything between them.
std::string CertificatesPem(const std::vector<std::string>& ders);

struct KeyAndProof {
  std::string key_pem;      // PKCS #8
  std::string request_der;  // a PKCS #10 request without a name, signed by the key
};

/// `key_type` as in a podCertificate volume: RSA3072, RSA4096, ECDSAP256, ECDSAP384, ECDSAP521, ED25519. Blocks for as
/// long as it takes to find primes.
absl::StatusOr<KeyAndProof> MakeKeyAndProof(const std::string& key_type);

}  // namespace burstlet::kube
