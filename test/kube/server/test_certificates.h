// Certificates for tests, made on the spot with OpenSSL: CAs, servers, clients, expired ones.
#pragma once

#include <string>
#include <vector>

namespace burstlet::kube::test {

struct CertifiedKey {
  std::string cert_pem;
  std::string key_pem;
};

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string> organizations;
  bool is_ca = false;
  bool server = false;  // else client usage
  long not_before_seconds = -3600;
  long not_after_seconds = 3600;
};

CertifiedKey MakeCa(const std::string& common_name);
CertifiedKey Issue(const CertifiedKey& ca, const CertificateRequest& request);

/// A folder of this test that is gone with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, const std::string& content) const;

 private:
  std::string path_;
};

}  // namespace burstlet::kube::test
