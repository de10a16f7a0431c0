// What the tests of the pod network share: a network opened or the test failed, pods, ports.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sandbox/net/pod_network.h"
#include "test/sandbox/net/net_lab.h"

namespace burstlet::sandbox::test {

// Named, because a skipped test tells its reason.
#define SKIP_WITHOUT_NAMESPACES()                                              \
  if (const auto reason = ::burstlet::sandbox::test::CannotMakeNamespaces()) { \
    WARN("SKIPPED: " << *reason);                                              \
    return;                                                                    \
  }

inline PodNetworkConfig Config(std::vector<std::string> cidrs) {
  PodNetworkConfig config;
  config.pod_cidrs = std::move(cidrs);
  config.instance = "t1";
  return config;
}

inline std::unique_ptr<PodNetwork> OpenOrFail(const PodNetworkConfig& config) {
  auto network = PodNetwork::Open(config);
  INFO(network.status());
  REQUIRE(network.ok());
  return *std::move(network);
}

struct TestPod {
  Fd netns;
  PodAddresses at;
  const std::string& ip(std::size_t family = 0) const { return at.addresses.at(family); }
};

inline TestPod AttachOrFail(PodNetwork& network, const std::string& owner) {
  TestPod pod{.netns = NewNamespace(), .at = {}};
  auto addresses = network.Attach(pod.netns.get(), owner);
  INFO(addresses.status());
  REQUIRE(addresses.ok());
  pod.at = *addresses;
  return pod;
}

inline std::string AnyOf(const std::string& address) {
  return address.find(':') == std::string::npos ? "0.0.0.0" : "::";
}

inline SandboxSpec::HostPort Port(std::uint16_t host, std::uint16_t container, std::string ip = "",
                                  std::string proto = "tcp") {
  return {.protocol = std::move(proto), .host_ip = std::move(ip), .host_port = host, .container_port = container};
}

}  // namespace burstlet::sandbox::test
