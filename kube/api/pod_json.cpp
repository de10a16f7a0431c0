// The codec for pods and what they are made of.
#include "kube/json_codec.h"

namespace burstlet::kube {

BURSTLET_JSON_TYPE(Pod);
BURSTLET_JSON_TYPE(PodSpec);
BURSTLET_JSON_TYPE(PodStatus);
BURSTLET_JSON_TYPE(PodCondition);
BURSTLET_JSON_TYPE(PodSecurityContext);
BURSTLET_JSON_TYPE(PodDNSConfig);
BURSTLET_JSON_TYPE(Toleration);
BURSTLET_JSON_TYPE(Container);
BURSTLET_JSON_TYPE(EphemeralContainer);
BURSTLET_JSON_TYPE(ContainerStatus);
BURSTLET_JSON_TYPE(ContainerState);
BURSTLET_JSON_TYPE(ContainerStateWaiting);
BURSTLET_JSON_TYPE(ContainerStateTerminated);
BURSTLET_JSON_TYPE(SecurityContext);
BURSTLET_JSON_TYPE(ResourceRequirements);
BURSTLET_JSON_TYPE(EnvVar);
BURSTLET_JSON_TYPE(Probe);
BURSTLET_JSON_TYPE(Lifecycle);
BURSTLET_JSON_TYPE(Volume);
BURSTLET_JSON_TYPE(VolumeMount);

}  // namespace burstlet::kube
