// The codec for certificate signing requests.
#include "kube/api/certificates.h"
#include "kube/json_codec.h"

namespace burstlet::kube {

BURSTLET_JSON_TYPE(CertificateSigningRequest);

}  // namespace burstlet::kube
