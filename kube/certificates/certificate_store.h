// Where a certificate with its key lies on disk: the kubelet's layout, so that either finds the other's.
//
//   <dir>/                                     0755
//     <prefix>-2026-11-24-10-20-25.pem         certificate chain, then key; 0600
//     <prefix>-current.pem                     symlink to the newest
//     <prefix>.key.tmp                         the key of a request under way, so that a crash asks the same again
//
// Files are written beside and renamed, the symlink is swapped by rename: a crash leaves the old pair or the new one.
// Threads: any, one call at a time; calls block (fsync). Failure: errors name the path.
// Source: client-go util/certificate/certificate_store.go.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kube/certificates/key_pair.h"

namespace burstlet::kube {

struct StoredCertificate {
  std::string cert_pem;
  std::string key_pem;
  CertificateInfo info;
};

class CertificateStore {
 public:
  CertificateStore(std::string directory, std::string prefix);

  std::string CurrentPath() const;
  /// kNotFound when there is none, kInvalidArgument when what is there cannot be used.
  absl::StatusOr<StoredCertificate> Current() const;
  /// Makes this pair the current one. Older files go but for the one before.
  absl::StatusOr<StoredCertificate> Update(const std::string& cert_pem, const std::string& key_pem);

  /// The key of a request under way, made when there is none that can be used.
  absl::StatusOr<std::string> PendingKey();
  /// The request is over: answered, or never to be.
  absl::Status DropPendingKey();

 private:
  std::string Path(const std::string& rest) const { return directory_ + "/" + prefix_ + rest; }
  absl::Status Sweep(const std::string& keep, const std::string& before) const;

  const std::string directory_;
  const std::string prefix_;
};

}  // namespace burstlet::kube
