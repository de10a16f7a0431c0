// CheckForwarding against firewalls that the system's own tools set up, in a namespace of the test's own.

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include "sandbox/net/firewall.h"
#include "test/sandbox/net/net_lab.h"

namespace burstlet::sandbox {
namespace {

TEST_CASE("firewalls that drop forwarded packets are found", "[net]") {
  if (const auto reason = test::CannotMakeNamespaces()) {
    WARN("SKIPPED: " << *reason);
    return;
  }
  for (const std::string tool : {"iptables-legacy", "ip6tables-legacy", "iptables-nft", "ip6tables-nft"}) {
    if (std::system((tool + " --version >/dev/null 2>&1").c_str()) != 0) {
      WARN("SKIPPED: " << tool << " is not installed");
      continue;
    }
    const test::NetLab lab;
    const absl::Status open = CheckForwarding();
    INFO(tool << ": " << open);
    REQUIRE(open.ok());
    REQUIRE(std::system((tool + " -P FORWARD DROP").c_str()) == 0);
    const absl::Status closed = CheckForwarding();
    CHECK(absl::IsFailedPrecondition(closed));
    CHECK(closed.message().find("chain FORWARD") != std::string::npos);
    CHECK(closed.message().find(tool.substr(0, tool.find('-'))) != std::string::npos);
    REQUIRE(std::system((tool + " -P FORWARD ACCEPT").c_str()) == 0);
    CHECK(CheckForwarding().ok());
  }
}

}  // namespace
}  // namespace burstlet::sandbox
