#include "provider/translate/bandwidth.h"

#include <catch2/catch.hpp>

#include "sandbox/net/bandwidth.h"

namespace burstlet::provider {
namespace {

TEST_CASE("bandwidth annotations become bits per second", "[translate]") {
  kube::Pod pod;
  sandbox::SandboxSpec spec;
  REQUIRE(TranslateBandwidth(pod, spec).ok());
  CHECK_FALSE(sandbox::BandwidthOf(spec.labels).limited());
  pod.metadata.annotations = {{"kubernetes.io/ingress-bandwidth", "10M"}, {"kubernetes.io/egress-bandwidth", "1Ki"}};
  REQUIRE(TranslateBandwidth(pod, spec).ok());
  CHECK(sandbox::BandwidthOf(spec.labels).ingress == 10'000'000);
  CHECK(sandbox::BandwidthOf(spec.labels).egress == 1024);
}

TEST_CASE("bandwidth outside 1k to 1P is refused with its annotation", "[translate]") {
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {"999", "small"}, {"2P", "large"}, {"-1M", "small"}, {"fast", "fast"}}) {
    kube::Pod pod;
    pod.metadata.annotations = {{"kubernetes.io/egress-bandwidth", text}};
    sandbox::SandboxSpec spec;
    const absl::Status status = TranslateBandwidth(pod, spec);
    INFO(status);
    CHECK(absl::IsInvalidArgument(status));
    CHECK(status.message().find("kubernetes.io/egress-bandwidth") != std::string::npos);
    CHECK(status.message().find(why) != std::string::npos);
  }
}

}  // namespace
}  // namespace burstlet::provider
