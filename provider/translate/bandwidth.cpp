#include "provider/translate/bandwidth.h"

#include "absl/strings/str_cat.h"
#include "kube/api/quantity.h"
#include "metrics/status.h"
#include "sandbox/net/bandwidth.h"

namespace burstlet::provider {
namespace {

constexpr std::int64_t kLeast = 1'000;                 // 1k
constexpr std::int64_t kMost = 1'000'000'000'000'000;  // 1P

absl::StatusOr<std::uint64_t> Rate(const kube::Pod& pod, const char* annotation) {
  const auto it = pod.metadata.annotations.find(annotation);
  if (it == pod.metadata.annotations.end()) return 0;
  const auto wrong = [&](std::string_view why) {
    return ReasonError(
        absl::StatusCode::kInvalidArgument, "FailedCreatePodSandBox",
        absl::StrCat("reading pod bandwidth annotations: ", annotation, ": \"", it->second, "\": ", std::string(why)));
  };
  const absl::StatusOr<kube::Quantity> quantity = kube::ParseQuantity(it->second);
  if (!quantity.ok()) return wrong(std::string(quantity.status().message()));
  const std::int64_t bits = kube::QuantityValue(*quantity);
  if (bits < kLeast) return wrong("resource is unreasonably small (< 1kbit)");
  if (bits > kMost) return wrong("resource is unreasonably large (> 1Pbit)");
  return static_cast<std::uint64_t>(bits);
}

}  // namespace

absl::Status TranslateBandwidth(const kube::Pod& pod, sandbox::SandboxSpec& spec) {
  sandbox::Bandwidth bandwidth;
  ASSIGN_OR_RETURN(bandwidth.ingress, Rate(pod, "kubernetes.io/ingress-bandwidth"));
  ASSIGN_OR_RETURN(bandwidth.egress, Rate(pod, "kubernetes.io/egress-bandwidth"));
  sandbox::PutBandwidth(bandwidth, spec.labels);
  return absl::OkStatus();
}

}  // namespace burstlet::provider
