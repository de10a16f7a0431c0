#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"
#include "provider/translate/dns.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

const char kHostFile[] =
    "# made by hand\n"
    "nameserver 192.0.2.53\n"
    "search first.example\n"
    "search corp.example. . second.example\n"
    "options timeout:2 rotate\n"
    "options timeout:3\n";

kube::Pod MakePod(const std::string& policy) {
  kube::Pod pod;
  pod.metadata.namespace_ = "shop";
  pod.spec.dnsPolicy = policy;
  return pod;
}

NodeInfo MakeNode() {
  NodeInfo node;
  node.cluster_dns = {"10.96.0.10"};
  node.addresses = {"192.0.2.10", "fd00::10"};
  return node;
}

std::string Resolv(const kube::Pod& pod, const NodeInfo& node, const std::string& host = kHostFile) {
  auto text = ResolvConf(pod, node, host);
  REQUIRE(text.ok());
  return *text;
}

const char kCluster[] =
    "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example second.example\n"
    "nameserver 10.96.0.10\n"
    "options ndots:5\n";
const char kHost[] =
    "search corp.example second.example\n"
    "nameserver 192.0.2.53\n"
    "options timeout:3 rotate\n";

}  // namespace

TEST_CASE("dnsPolicy chooses between the cluster's and the host's resolver", "[translate]") {
  NodeInfo node = MakeNode();
  CHECK(Resolv(MakePod("ClusterFirst"), node) == kCluster);
  CHECK(Resolv(MakePod("Default"), node) == kHost);
  kube::Pod host_network = MakePod("ClusterFirst");
  host_network.spec.hostNetwork = true;
  CHECK(Resolv(host_network, node) == kHost);
  host_network.spec.dnsPolicy = "ClusterFirstWithHostNet";
  CHECK(Resolv(host_network, node) == kCluster);
  node.cluster_dns.clear();
  CHECK(Resolv(MakePod("ClusterFirst"), node) == kHost);
}

TEST_CASE("a cluster without a domain adds no search paths", "[translate]") {
  NodeInfo node = MakeNode();
  node.cluster_domain = "";
  CHECK(Resolv(MakePod("ClusterFirst"), node) ==
        "search corp.example second.example\nnameserver 10.96.0.10\noptions ndots:5\n");
}

TEST_CASE("a node told to have no resolv.conf turns name lookups off", "[translate]") {
  NodeInfo node = MakeNode();
  node.host_resolv_conf = "";
  CHECK(Resolv(MakePod("Default"), node) == "search .\nnameserver 127.0.0.1\nnameserver ::1\n");
}

TEST_CASE("dnsConfig is merged: servers and searches added once, options replaced", "[translate]") {
  kube::Pod pod = MakePod("ClusterFirst");
  pod.spec.dnsConfig.emplace();
  pod.spec.dnsConfig->nameservers = {"10.96.0.10", "9.9.9.9"};
  pod.spec.dnsConfig->searches = {"cluster.local", "extra.example"};
  pod.spec.dnsConfig->options = {{"ndots", "2"}, {"edns0", std::nullopt}};
  CHECK(Resolv(pod, MakeNode()) ==
        "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example second.example extra.example\n"
        "nameserver 10.96.0.10\nnameserver 9.9.9.9\n"
        "options ndots:2 edns0\n");
}

TEST_CASE("limits of resolvers are kept", "[translate]") {
  kube::Pod pod = MakePod("None");
  pod.spec.dnsConfig.emplace();
  pod.spec.dnsConfig->nameservers = {"1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"};
  pod.spec.dnsConfig->searches = {std::string(254, 'x')};
  for (int i = 0; i < 40; ++i) pod.spec.dnsConfig->searches.push_back(absl::StrCat("d", i, ".", std::string(90, 'y')));
  const std::string text = Resolv(pod, MakeNode());
  CHECK(text.find("4.4.4.4") == std::string::npos);
  CHECK(text.find("xxx") == std::string::npos);
  const std::string search = text.substr(0, text.find('\n'));
  CHECK(search.size() <= 2048 + sizeof("search"));
  CHECK(search.find("d20.") != std::string::npos);
  CHECK(search.find("d30.") == std::string::npos);  // 32 paths at most, the first of which was too long
}

TEST_CASE("what was left out of a pod's DNS is told, and nothing else", "[translate]") {
  kube::Pod pod = MakePod("None");
  pod.spec.dnsConfig.emplace();
  pod.spec.dnsConfig->nameservers = {"1.1.1.1", "2.2.2.2", "3.3.3.3"};
  pod.spec.dnsConfig->searches = {"a.example"};
  CHECK(MakePodDns(pod, MakeNode(), kHostFile)->warnings.empty());
  pod.spec.dnsConfig->nameservers.push_back("4.4.4.4");
  pod.spec.dnsConfig->searches.push_back(std::string(254, 'x'));
  const auto warnings = MakePodDns(pod, MakeNode(), kHostFile)->warnings;
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].reason == "DNSConfigForming");
  CHECK(warnings[0].message ==
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        "1.1.1.1 2.2.2.2 3.3.3.3");
  CHECK(warnings[1].message ==
        "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: a.example");

  NodeInfo node = MakeNode();
  node.cluster_dns.clear();
  const auto missing = MakePodDns(MakePod("ClusterFirst"), node, kHostFile)->warnings;
  REQUIRE(missing.size() == 1);
  CHECK(missing[0].reason == "MissingClusterDNS");
  CHECK(MakePodDns(MakePod("Default"), node, kHostFile)->warnings.empty());
}

TEST_CASE("a broken resolv.conf of the host is an error", "[translate]") {
  CHECK_FALSE(ResolvConf(MakePod("Default"), MakeNode(), "nameserver\n").ok());
}

TEST_CASE("a pod without any setting gets the host's file as it is", "[translate]") {
  CHECK(Resolv(MakePod("None"), MakeNode()) == kHostFile);
}

}  // namespace burstlet::provider
