#include "provider/affinity_json.h"

#include "kube/json_codec.h"

namespace burstlet::kube {

using provider::Affinity;
BURSTLET_JSON_TYPE(Affinity);

}  // namespace burstlet::kube

namespace burstlet::provider {

absl::StatusOr<Affinity> DecodeAffinity(const std::string& json) { return kube::Decode<Affinity>(json); }

}  // namespace burstlet::provider
