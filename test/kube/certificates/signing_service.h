// The CSR API as a script: files requests, and a CA that answers those it is told to.
#pragma once

#include <map>
#include <string>

#include "kube/api/certificates.h"
#include "test/kube/fakes/scripted_client.h"
#include "test/kube/server/test_certificates.h"

namespace burstlet::kube::test {

class SigningService {
 public:
  explicit SigningService(Loop& loop)
      : client(loop, [this](const ScriptedRequest& request) { return Answer(request); }) {}

  /// The certificate of the request's key, valid for so long; watchers hear of it.
  void Issue(const std::string& name, long seconds_valid);
  void Deny(const std::string& name);
  void Delete(const std::string& name);
  /// The name of the only request that is not answered yet, "" when there is none.
  std::string Pending() const;

  std::map<std::string, CertificateSigningRequest> requests;
  bool away = false;  // the API server does not answer
  ScriptedClient client;

 private:
  absl::StatusOr<Response> Answer(const ScriptedRequest& request);
  void Tell(const char* type, const std::string& name);

  int uid_ = 0;
  const CertifiedKey ca_ = MakeCa("signer");
};

}  // namespace burstlet::kube::test
