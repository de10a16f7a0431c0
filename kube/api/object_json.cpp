// The codec for all objects but pods.
#include "kube/json_codec.h"

namespace burstlet::kube {

BURSTLET_JSON_TYPE(ObjectMeta);
BURSTLET_JSON_TYPE(OwnerReference);
BURSTLET_JSON_TYPE(ObjectReference);
BURSTLET_JSON_TYPE(Node);
BURSTLET_JSON_TYPE(NodeSpec);
BURSTLET_JSON_TYPE(NodeStatus);
BURSTLET_JSON_TYPE(NodeCondition);
BURSTLET_JSON_TYPE(Taint);
BURSTLET_JSON_TYPE(ConfigMap);
BURSTLET_JSON_TYPE(Secret);
BURSTLET_JSON_TYPE(Event);
BURSTLET_JSON_TYPE(Service);
BURSTLET_JSON_TYPE(Lease);
BURSTLET_JSON_TYPE(TokenRequest);
BURSTLET_JSON_TYPE(TokenReview);
BURSTLET_JSON_TYPE(SubjectAccessReview);
BURSTLET_JSON_TYPE(ApiStatus);

}  // namespace burstlet::kube
