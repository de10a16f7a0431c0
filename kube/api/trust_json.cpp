// The codec for trust bundles and requests for pods' certificates.
#include "kube/api/trust.h"
#include "kube/json_codec.h"

namespace burstlet::kube {

BURSTLET_JSON_TYPE(LabelSelector);
BURSTLET_JSON_TYPE(ClusterTrustBundle);
BURSTLET_JSON_TYPE(PodCertificateRequest);

}  // namespace burstlet::kube
