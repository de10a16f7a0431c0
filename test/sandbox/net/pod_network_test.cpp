// The pod network on the real kernel: a node in a namespace of its own, pods, and an outside world.

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "sandbox/net/links.h"
#include "sandbox/net/netns.h"
#include "sandbox/net/pod_network.h"
#include "test/sandbox/net/net_lab.h"
#include "test/sandbox/net/pod_fixture.h"

namespace burstlet::sandbox {
namespace {

using test::AnyOf;
using test::AttachOrFail;
using test::Config;
using test::Connect;
using test::Fd;
using test::NetLab;
using test::NewNamespace;
using test::OpenOrFail;
using test::Port;
using test::SeenFrom;
using test::Serve;
using test::TestPod;

TEST_CASE("pods reach each other, the node and the outside", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  struct Family {
    std::string cidr, gateway, node_ip, outside_ip;
  };
  const std::vector<Family> families{{"10.88.0.0/16", "10.88.0.1", NetLab::kNodeIp, NetLab::kOutsideIp},
                                     {"fd00:88::/64", "fd00:88::1", NetLab::kNodeIp6, NetLab::kOutsideIp6}};
  for (const std::vector<std::size_t>& order : {std::vector<std::size_t>{0}, {1}, {0, 1}, {1, 0}}) {
    std::vector<std::string> cidrs;
    for (const std::size_t family : order) cidrs.push_back(families[family].cidr);
    const auto network = OpenOrFail(Config(cidrs));
    const TestPod a = AttachOrFail(*network, "a");
    const TestPod b = AttachOrFail(*network, "b");
    REQUIRE(a.at.addresses.size() == order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Family& family = families[order[i]];
      INFO(family.cidr << ", place " << i);
      REQUIRE(ParseCidr(family.cidr)->Contains(*ParseAddress(a.ip(i))));
      CHECK(network->gateway_addresses().at(i) == family.gateway);
      const std::string any = AnyOf(a.ip(i));
      const Fd in_b = Serve(b.netns.get(), any, 8080, SOCK_STREAM);
      const Fd in_node = Serve(lab.node(), any, 8081, SOCK_STREAM);
      const Fd in_outside = Serve(lab.outside(), any, 8082, SOCK_STREAM);

      CHECK(SeenFrom(a.netns.get(), b.ip(i), 8080, in_b) == a.ip(i));
      CHECK(SeenFrom(lab.node(), b.ip(i), 8080, in_b) == family.gateway);
      CHECK(SeenFrom(b.netns.get(), b.ip(i), 8080, in_b) == b.ip(i));
      CHECK(SeenFrom(a.netns.get(), family.node_ip, 8081, in_node) == a.ip(i));
      CHECK(SeenFrom(a.netns.get(), family.gateway, 8081, in_node) == a.ip(i));
      // The outside sees the node, not the pod.
      CHECK(SeenFrom(a.netns.get(), family.outside_ip, 8082, in_outside) == family.node_ip);
      // An address of the range that no pod has answers at once.
      const Cidr range = *ParseCidr(family.cidr);
      CHECK_FALSE(Connect(lab.node(), range.At(range.base.v6 ? 0x3fff : 0xfffe).ToString(), 1, 500).ok());
    }
    REQUIRE(network->Close().ok());
  }
}

TEST_CASE("a detached pod is cut off while its namespace lives", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  const auto network = OpenOrFail(Config({"10.88.0.0/24"}));
  const TestPod a = AttachOrFail(*network, "a");
  const Fd in_a = Serve(a.netns.get(), "0.0.0.0", 8080, SOCK_STREAM);
  const Fd in_node = Serve(lab.node(), "0.0.0.0", 8081, SOCK_STREAM);
  REQUIRE(SeenFrom(lab.node(), a.ip(), 8080, in_a) == "10.88.0.1");
  REQUIRE(network->Detach("a").ok());
  CHECK(network->Detach("a").ok());
  CHECK_FALSE(Connect(lab.node(), a.ip(), 8080, 500).ok());
  CHECK_FALSE(Connect(a.netns.get(), NetLab::kNodeIp, 8081, 300).ok());
  REQUIRE(network->Close().ok());
}

TEST_CASE("names, conflicts and mistakes are told", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  const auto network = OpenOrFail(Config({"10.88.0.0/24"}));
  const TestPod a = AttachOrFail(*network, "a");
  const TestPod b = AttachOrFail(*network, "b");
  CHECK(absl::IsAlreadyExists(network->Attach(NewNamespace().get(), "a").status()));
  // The namespace has an eth0 already; the address that was taken for it is not lost.
  CHECK(absl::IsAlreadyExists(network->Attach(a.netns.get(), "again").status()));
  CHECK(absl::IsNotFound(network->AddHostPorts("again", {Port(80, 80)})));

  REQUIRE(network->AddHostPorts("a", {Port(80, 8080)}).ok());
  CHECK(network->AddHostPorts("a", {Port(80, 8080)}).ok());
  const absl::Status taken = network->AddHostPorts("b", {Port(8443, 443), Port(80, 8080, NetLab::kNodeIp)});
  CHECK(absl::IsAlreadyExists(taken));
  CHECK(taken.message().find("80/tcp") != std::string::npos);
  CHECK(network->AddHostPorts("b", {Port(80, 8080, "", "udp")}).ok());
  // The first port of the refused call was withdrawn.
  CHECK(network->AddHostPorts("a", {Port(8443, 443)}).ok());
  CHECK(absl::IsInvalidArgument(network->AddHostPorts("b", {Port(0, 80)})));
  CHECK(absl::IsInvalidArgument(network->AddHostPorts("b", {Port(1, 80, "", "icmp")})));
  CHECK(absl::IsInvalidArgument(network->AddHostPorts("b", {Port(1, 80, "::1")})));
  CHECK(absl::IsInvalidArgument(network->AddHostPorts("b", {Port(1, 80, "localhost")})));

  CHECK(absl::IsNotFound(network->Rename("nobody", "x")));
  CHECK(absl::IsAlreadyExists(network->Rename("a", "b")));
  REQUIRE(network->Rename("a", "c").ok());
  CHECK(absl::IsAlreadyExists(network->AddHostPorts("b", {Port(8443, 443)})));
  REQUIRE(network->Detach("c").ok());
  CHECK(network->AddHostPorts("b", {Port(8443, 443)}).ok());
  REQUIRE(network->Close().ok());
}

TEST_CASE("bad configurations are refused by name", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  for (const std::string& text :
       {std::string("10.88.0.0"), std::string("10.88.0.0/33"), std::string("10.88.0/16"), std::string("fd00::/129"),
        std::string("x/8"), std::string("10.88.0.0/"), std::string("10.88.0.0/16 "), std::string("10.88.0.0/31")}) {
    const auto network = PodNetwork::Open(Config({text}));
    INFO(text << " " << network.status());
    REQUIRE(absl::IsInvalidArgument(network.status()));
    CHECK(network.status().message().find(text) != std::string::npos);
  }
  CHECK(absl::IsInvalidArgument(PodNetwork::Open(Config({})).status()));
  CHECK(absl::IsInvalidArgument(PodNetwork::Open(Config({"10.88.0.0/16", "10.89.0.0/16"})).status()));
  PodNetworkConfig unnamed = Config({"10.88.0.0/16"});
  unnamed.instance = "Not good";
  CHECK(absl::IsInvalidArgument(PodNetwork::Open(unnamed).status()));
  // The node's own address lies in the range.
  const auto overlap = PodNetwork::Open(Config({"203.0.113.0/24"}));
  CHECK(absl::IsFailedPrecondition(overlap.status()));
  CHECK(overlap.status().message().find("uplink") != std::string::npos);
}

TEST_CASE("a restarted agent takes its pods back and sweeps the rest", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  auto network = OpenOrFail(Config({"10.88.0.0/24"}));
  const TestPod a = AttachOrFail(*network, "a");
  const TestPod stale = AttachOrFail(*network, "stale");
  REQUIRE(network->AddHostPorts("a", {Port(80, 8080)}).ok());
  REQUIRE(network->AddHostPorts("stale", {Port(81, 8080)}).ok());
  const Fd in_a = Serve(a.netns.get(), "0.0.0.0", 8080, SOCK_STREAM);
  const Fd in_stale = Serve(stale.netns.get(), "0.0.0.0", 8080, SOCK_STREAM);
  network.reset();  // as a crash: nothing is taken down

  network = OpenOrFail(Config({"10.88.0.0/24"}));
  // Host ports work on before anybody tells of them.
  CHECK(SeenFrom(lab.outside(), NetLab::kNodeIp, 80, in_a) == NetLab::kOutsideIp);
  REQUIRE(network->Reserve("a", a.at).ok());
  CHECK(network->Reserve("a", a.at).ok());
  CHECK(absl::IsAlreadyExists(network->Reserve("thief", a.at)));
  REQUIRE(network->AddHostPorts("a", {Port(80, 8080)}).ok());
  REQUIRE(network->SweepInterfaces().ok());

  Links links = Links::Open().value();
  const auto left = links.List("veth", "blt1-");
  REQUIRE(left.ok());
  REQUIRE(left->size() == 1);
  CHECK(left->front().name == a.at.host_interface);
  CHECK(SeenFrom(lab.outside(), NetLab::kNodeIp, 80, in_a) == NetLab::kOutsideIp);
  CHECK_FALSE(Connect(lab.outside(), NetLab::kNodeIp, 81, 300).ok());
  const TestPod next = AttachOrFail(*network, "next");
  CHECK(next.ip() != a.ip());
  CHECK(next.at.host_interface != a.at.host_interface);
  REQUIRE(network->Close().ok());
}

TEST_CASE("many pods come and go and leave nothing", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  Links links = Links::Open().value();
  const std::size_t links_before = links.List("", "")->size();
  const std::size_t addresses_before = links.ListAddresses()->size();
  const auto network = OpenOrFail(Config({"10.88.0.0/28", "fd00:88::/64"}));
  for (int i = 0; i < 200; ++i) {
    const std::string owner = "pod" + std::to_string(i);
    const TestPod pod = AttachOrFail(*network, owner);
    REQUIRE(network->AddHostPorts(owner, {Port(80, 8080), Port(80, 8080, "", "sctp")}).ok());
    REQUIRE(network->Detach(owner).ok());
  }
  REQUIRE(network->SweepInterfaces().ok());
  CHECK(links.List("veth", "blt1-")->empty());
  REQUIRE(network->Close().ok());
  CHECK(links.List("", "")->size() == links_before);
  CHECK(links.ListAddresses()->size() == addresses_before);
}

TEST_CASE("two agents share a node without touching each other", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  PodNetworkConfig first = Config({"10.88.0.0/24"});
  PodNetworkConfig second = Config({"10.89.0.0/24"});
  second.instance = "t12";  // begins like the first one's name
  const auto one = OpenOrFail(first);
  const auto two = OpenOrFail(second);
  PodNetworkConfig third = Config({"10.89.0.0/16"});
  third.instance = "t3";
  const auto overlap = PodNetwork::Open(third);
  CHECK(absl::IsFailedPrecondition(overlap.status()));
  CHECK(overlap.status().message().find("blt12-gw") != std::string::npos);

  const TestPod a = AttachOrFail(*one, "a");
  const TestPod b = AttachOrFail(*two, "b");
  REQUIRE(one->AddHostPorts("a", {Port(80, 8080)}).ok());
  REQUIRE(two->AddHostPorts("b", {Port(81, 8080)}).ok());
  const Fd in_a = Serve(a.netns.get(), "0.0.0.0", 8080, SOCK_STREAM);
  const Fd in_b = Serve(b.netns.get(), "0.0.0.0", 8080, SOCK_STREAM);
  CHECK(ParseAddress(SeenFrom(a.netns.get(), b.ip(), 8080, in_b)).ok());
  CHECK(ParseAddress(SeenFrom(b.netns.get(), NetLab::kNodeIp, 80, in_a)).ok());
  REQUIRE(one->SweepInterfaces().ok());
  REQUIRE(one->Close().ok());
  CHECK(SeenFrom(lab.outside(), NetLab::kNodeIp, 81, in_b) == NetLab::kOutsideIp);
  REQUIRE(two->Close().ok());
}

TEST_CASE("without masquerading the outside sees the pod", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  PodNetworkConfig config = Config({"10.88.0.0/24", "fd00:88::/64"});
  config.masquerade = false;
  const auto network = OpenOrFail(config);
  const TestPod a = AttachOrFail(*network, "a");
  const Fd outside4 = Serve(lab.outside(), "0.0.0.0", 8082, SOCK_STREAM);
  const Fd outside6 = Serve(lab.outside(), "::", 8083, SOCK_STREAM);
  CHECK(SeenFrom(a.netns.get(), NetLab::kOutsideIp, 8082, outside4) == a.ip(0));
  CHECK(SeenFrom(a.netns.get(), NetLab::kOutsideIp6, 8083, outside6) == a.ip(1));
  REQUIRE(network->Close().ok());
}

TEST_CASE("the pods' MTU is that of the way out, or the configured one", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  const auto mtu_of_a_pod = [](unsigned configured) {
    PodNetworkConfig config = Config({"10.88.0.0/24"});
    config.mtu = configured;
    const auto network = OpenOrFail(config);
    const TestPod a = AttachOrFail(*network, "a");
    std::uint32_t seen = 0;
    REQUIRE(RunInNetworkNamespace(a.netns.get(), [&seen] {
              seen = Links::Open()->Find("eth0").value()->mtu;
              return absl::OkStatus();
            }).ok());
    REQUIRE(network->Close().ok());
    return seen;
  };
  CHECK(mtu_of_a_pod(1300) == 1300);
  CHECK(mtu_of_a_pod(0) == 1500);  // no default route
  PodEnd uplink;
  uplink.name = "uplink";
  uplink.gateways = {ParseAddress(NetLab::kOutsideIp).value()};
  REQUIRE(Links::Open()->ConfigurePodEnd(uplink).ok());
  CHECK(mtu_of_a_pod(0) == 1400);
}

TEST_CASE("many threads attach and detach at once", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  const auto network = OpenOrFail(Config({"10.88.0.0/24", "fd00:88::/64"}));
  std::mutex mutex;
  std::set<std::string> held;
  std::vector<std::string> failures;
  const auto work = [&](unsigned worker) {
    for (unsigned i = 0; i < 20; ++i) {
      const std::string owner = std::to_string(worker) + "-" + std::to_string(i);
      const Fd netns = NewNamespace();
      const auto pod = network->Attach(netns.get(), owner);
      const absl::Status ports =
          pod.ok() ? network->AddHostPorts(owner, {Port(static_cast<std::uint16_t>(1000 + worker), 80)}) : pod.status();
      const std::lock_guard lock(mutex);
      if (!ports.ok()) {
        failures.push_back(ports.ToString());
        continue;
      }
      for (const std::string& address : pod->addresses) {
        if (!held.insert(address).second) failures.push_back(address + " twice");
      }
      for (const std::string& address : pod->addresses) held.erase(address);
      if (const absl::Status status = network->Detach(owner); !status.ok()) failures.push_back(status.ToString());
    }
  };
  std::vector<std::thread> threads;
  for (unsigned worker = 0; worker < 4; ++worker) threads.emplace_back(work, worker);
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == std::vector<std::string>{});
  REQUIRE(network->Close().ok());
}

TEST_CASE("a range runs out with clear words, and a freed address helps at once", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  const auto network = OpenOrFail(Config({"10.88.0.0/30"}));
  const TestPod only = AttachOrFail(*network, "only");
  CHECK(only.ip() == "10.88.0.2");
  const Fd netns = NewNamespace();
  const auto full = network->Attach(netns.get(), "second");
  CHECK(absl::IsResourceExhausted(full.status()));
  CHECK(full.status().message().find("10.88.0.0/30") != std::string::npos);
  REQUIRE(network->Detach("only").ok());
  CHECK(network->Attach(netns.get(), "second").ok());
  REQUIRE(network->Close().ok());
}

}  // namespace
}  // namespace burstlet::sandbox
