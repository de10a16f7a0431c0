// Host ports, hairpin, the guard, and other tables beside ours: what nftables does to packets, on the real kernel.

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <string>

#include "sandbox/net/links.h"
#include "sandbox/net/nat_table.h"
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
using test::OpenOrFail;
using test::Port;
using test::SeenFrom;
using test::SeenFromUdp;
using test::SeenOnUdp;
using test::SendForged;
using test::Serve;
using test::TestPod;

TEST_CASE("host ports from the node, a pod, the pod itself and the outside", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  // None, strict, loose: distributions differ.
  const char reverse_path_filter = GENERATE('0', '1', '2');
  for (const char* scope : {"all", "default"}) {
    std::ofstream(std::string("/proc/sys/net/ipv4/conf/") + scope + "/rp_filter") << reverse_path_filter;
  }
  const auto network = OpenOrFail(Config({"10.88.0.0/24", "fd00:88::/64"}));
  const TestPod a = AttachOrFail(*network, "a");
  const TestPod b = AttachOrFail(*network, "b");
  const absl::Status added =
      network->AddHostPorts("b", {Port(80, 8080), Port(53, 5353, "", "udp"), Port(81, 8080, NetLab::kNodeIp)});
  INFO(added);
  REQUIRE(added.ok());
  const std::string gateways[] = {"10.88.0.1", "fd00:88::1"};
  const std::string nodes[] = {NetLab::kNodeIp, NetLab::kNodeIp6};
  const std::string outsides[] = {NetLab::kOutsideIp, NetLab::kOutsideIp6};
  for (const std::size_t i : {0u, 1u}) {
    const Fd server = Serve(b.netns.get(), AnyOf(nodes[i]), 8080, SOCK_STREAM);
    const Fd datagrams = Serve(b.netns.get(), b.ip(i), 5353, SOCK_DGRAM);
    CHECK(SeenFrom(lab.node(), nodes[i], 80, server) == nodes[i]);
    CHECK(SeenFrom(lab.node(), gateways[i], 80, server) == gateways[i]);
    CHECK(SeenFrom(lab.outside(), nodes[i], 80, server) == outsides[i]);
    CHECK(SeenFrom(a.netns.get(), nodes[i], 80, server) == a.ip(i));
    CHECK(SeenFrom(a.netns.get(), gateways[i], 80, server) == a.ip(i));
    // The pod reaches itself: it sees the gateway, since it would drop packets from its own address.
    CHECK(SeenFrom(b.netns.get(), nodes[i], 80, server) == gateways[i]);
    CHECK(SeenFromUdp(a.netns.get(), nodes[i], 53, datagrams) == a.ip(i));
    CHECK(SeenFromUdp(b.netns.get(), nodes[i], 53, datagrams) == gateways[i]);
    CHECK(SeenFromUdp(lab.outside(), nodes[i], 53, datagrams) == outsides[i]);
  }
  const Fd server = Serve(b.netns.get(), "0.0.0.0", 8080, SOCK_STREAM);
  CHECK(SeenFrom(lab.outside(), NetLab::kNodeIp, 81, server) == NetLab::kOutsideIp);
  // The node's loopback: IPv4 leads to the pod, ::1 stays the node's own.
  CHECK(SeenFrom(lab.node(), "127.0.0.1", 80, server) == gateways[0]);
  CHECK(Connect(lab.node(), "::1", 80, 500).status().message().find("refused") != std::string::npos);
  CHECK_FALSE(Connect(lab.node(), "127.0.0.1", 81, 500).ok());

  REQUIRE(network->Detach("b").ok());
  CHECK_FALSE(Connect(lab.outside(), NetLab::kNodeIp, 80, 500).ok());
  REQUIRE(network->Close().ok());
}

TEST_CASE("a pod can reach neither the node's loopback nor speak with another address", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  const auto network = OpenOrFail(Config({"10.88.0.0/24"}));
  const TestPod a = AttachOrFail(*network, "a");
  // A host port switches route_localnet on for this interface: the dangerous case (CVE-2020-8558).
  REQUIRE(network->AddHostPorts("a", {Port(80, 8080)}).ok());
  const Fd secret = Serve(lab.node(), "127.0.0.1", 9000, SOCK_DGRAM);
  const Fd open = Serve(lab.node(), NetLab::kNodeIp, 9001, SOCK_DGRAM);
  const MacAddress gateway_mac{0x02, 0x6c, 0x67, 0x77, 0x00, 0x01};
  const auto arrived = [](const Fd& fd) {
    char byte;
    return recv(fd.get(), &byte, 1, MSG_DONTWAIT) == 1;
  };
  const auto attack = [&] {
    REQUIRE(SendForged(a.netns.get(), gateway_mac, a.ip(), "127.0.0.1", 9000));
    REQUIRE(SendForged(a.netns.get(), gateway_mac, "10.88.0.250", NetLab::kNodeIp, 9001));
    REQUIRE(SendForged(a.netns.get(), gateway_mac, "127.0.0.1", NetLab::kNodeIp, 9001));
    REQUIRE(SendForged(a.netns.get(), gateway_mac, NetLab::kOutsideIp, NetLab::kNodeIp, 9001));
  };
  attack();
  // Packets keep their order: once an honest one has come through, the forged ones are not to come any more.
  REQUIRE(SeenFromUdp(a.netns.get(), NetLab::kNodeIp, 9001, open) == a.ip());
  CHECK_FALSE(arrived(open));
  CHECK_FALSE(arrived(secret));

  // The attack is a real one: without the table it reaches the node's loopback.
  NatTableSpec spec;
  spec.table = "burstlet-t1";
  REQUIRE(NatTable::Open(spec)->Drop().ok());
  attack();
  REQUIRE(SeenFrom(a.netns.get(), NetLab::kNodeIp, 9002, Serve(lab.node(), "0.0.0.0", 9002, SOCK_STREAM)) == a.ip());
  CHECK(arrived(secret));
  REQUIRE(network->Close().ok());
}

TEST_CASE("a cluster address that another table translates works, for its own backend too", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  if (std::system("iptables-nft --version >/dev/null 2>&1") != 0) {
    WARN("SKIPPED: iptables-nft is not installed");
    return;
  }
  const NetLab lab;
  const auto network = OpenOrFail(Config({"10.88.0.0/24"}));
  const TestPod a = AttachOrFail(*network, "a");
  const TestPod b = AttachOrFail(*network, "b");
  // The shape of kube-proxy's rules for a Service with the one endpoint b.
  const std::string to_b = " -d 10.96.0.10 -p tcp --dport 80 -j DNAT --to-destination " + b.ip() + ":8080";
  for (const std::string& rule :
       {"PREROUTING" + to_b, "OUTPUT" + to_b, "POSTROUTING -s " + b.ip() + " -d " + b.ip() + " -j MASQUERADE"}) {
    REQUIRE(std::system(("iptables-nft -t nat -A " + rule).c_str()) == 0);
  }
  // Nothing routes the cluster addresses; the node's default route, which it needs in this lab, is enough.
  PodEnd uplink;
  uplink.name = "uplink";
  uplink.gateways = {ParseAddress(NetLab::kOutsideIp).value()};
  REQUIRE(Links::Open()->ConfigurePodEnd(uplink).ok());
  const Fd in_b = Serve(b.netns.get(), "0.0.0.0", 8080, SOCK_STREAM);
  CHECK(SeenFrom(a.netns.get(), "10.96.0.10", 80, in_b) == a.ip());
  CHECK(SeenFrom(b.netns.get(), "10.96.0.10", 80, in_b) != b.ip());
  CHECK(ParseAddress(SeenFrom(b.netns.get(), "10.96.0.10", 80, in_b)).ok());
  CHECK(ParseAddress(SeenFrom(lab.node(), "10.96.0.10", 80, in_b)).ok());
  REQUIRE(network->Close().ok());
}

TEST_CASE("a UDP client that never changes its port finds the port's next owner", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  const auto network = OpenOrFail(Config({"10.88.0.0/24", "fd00:88::/64"}));
  for (const std::size_t i : {0u, 1u}) {
    const std::string node = i == 0 ? NetLab::kNodeIp : NetLab::kNodeIp6;
    const std::string outside = i == 0 ? NetLab::kOutsideIp : NetLab::kOutsideIp6;
    const auto port = static_cast<std::uint16_t>(53 + i);
    const TestPod a = AttachOrFail(*network, "a");
    const TestPod b = AttachOrFail(*network, "b");
    const Fd client = Serve(lab.outside(), AnyOf(outside), 4000, SOCK_DGRAM);
    const Fd own = Serve(lab.node(), AnyOf(node), port, SOCK_DGRAM);
    const Fd in_a = Serve(a.netns.get(), AnyOf(node), 5353, SOCK_DGRAM);
    const Fd in_b = Serve(b.netns.get(), AnyOf(node), 5353, SOCK_DGRAM);
    CHECK(SeenOnUdp(client, node, port, own) == outside);
    REQUIRE(network->AddHostPorts("a", {Port(port, 5353, "", "udp")}).ok());
    CHECK(SeenOnUdp(client, node, port, in_a) == outside);
    REQUIRE(network->Detach("a").ok());
    REQUIRE(network->AddHostPorts("b", {Port(port, 5353, "", "udp")}).ok());
    CHECK(SeenOnUdp(client, node, port, in_b) == outside);
    REQUIRE(network->Detach("b").ok());
  }
  REQUIRE(network->Close().ok());
}

TEST_CASE("a flushed firewall is put back at the next change", "[net]") {
  SKIP_WITHOUT_NAMESPACES();
  const NetLab lab;
  const auto network = OpenOrFail(Config({"10.88.0.0/24"}));
  const TestPod a = AttachOrFail(*network, "a");
  const TestPod b = AttachOrFail(*network, "b");
  REQUIRE(network->AddHostPorts("a", {Port(80, 8080)}).ok());
  // What a firewall's restart does to everybody's tables.
  const auto flush = [] {
    NatTableSpec spec;
    spec.table = "burstlet-t1";
    REQUIRE(NatTable::Open(spec)->Drop().ok());
  };
  flush();
  REQUIRE(network->AddHostPorts("b", {Port(81, 8080)}).ok());
  const Fd in_a = Serve(a.netns.get(), "0.0.0.0", 8080, SOCK_STREAM);
  const Fd in_b = Serve(b.netns.get(), "0.0.0.0", 8080, SOCK_STREAM);
  CHECK(SeenFrom(lab.outside(), NetLab::kNodeIp, 80, in_a) == NetLab::kOutsideIp);
  CHECK(SeenFrom(lab.outside(), NetLab::kNodeIp, 81, in_b) == NetLab::kOutsideIp);
  flush();
  REQUIRE(network->Detach("b").ok());
  CHECK(SeenFrom(lab.outside(), NetLab::kNodeIp, 80, in_a) == NetLab::kOutsideIp);
  CHECK_FALSE(Connect(lab.outside(), NetLab::kNodeIp, 81, 300).ok());
  REQUIRE(network->Close().ok());
}

}  // namespace
}  // namespace burstlet::sandbox
