#include <catch2/catch.hpp>

#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

kube::Pod MakePod() {
  kube::Pod pod;
  pod.metadata.name = "web-0";
  pod.metadata.namespace_ = "shop";
  return pod;
}

}  // namespace

TEST_CASE("a pod's hostname comes from its fields, then its name", "[translate]") {
  kube::Pod pod = MakePod();
  auto names = PodHostNames(pod, "cluster.local");
  REQUIRE(names.ok());
  CHECK(names->hostname == "web-0");
  CHECK(names->domain.empty());

  pod.spec.hostname = "own";
  pod.spec.subdomain = "sub";
  names = PodHostNames(pod, "cluster.local");
  REQUIRE(names.ok());
  CHECK(names->hostname == "own");
  CHECK(names->domain == "sub.shop.svc.cluster.local");

  pod.spec.hostnameOverride = "whole.name.example";
  names = PodHostNames(pod, "cluster.local");
  REQUIRE(names.ok());
  CHECK(names->hostname == "whole.name.example");
  CHECK(names->domain.empty());
}

TEST_CASE("long hostnames are cut to 63 characters without a dash at the end", "[translate]") {
  kube::Pod pod = MakePod();
  pod.metadata.name = std::string(61, 'a') + "--bcd";
  auto names = PodHostNames(pod, "cluster.local");
  REQUIRE(names.ok());
  CHECK(names->hostname == std::string(61, 'a'));
  pod.spec.hostnameOverride = std::string(62, 'b') + "." + std::string(20, 'c');
  names = PodHostNames(pod, "cluster.local");
  REQUIRE(names.ok());
  CHECK(names->hostname == std::string(62, 'b'));
}

TEST_CASE("names that are no DNS labels are refused by field", "[translate]") {
  struct Row {
    std::string hostname, subdomain, override;
    const char* field;
  };
  const Row rows[] = {{"Upper", "", "", "Hostname"},
                      {"a.b", "", "", "Hostname"},
                      {"-a", "", "", "Hostname"},
                      {"", "s_", "", "Subdomain"},
                      {"", std::string(64, 's'), "", "Subdomain"},
                      {"", "", "a..b", "HostnameOverride"},
                      {"", "", "-x", "HostnameOverride"}};
  for (const Row& row : rows) {
    kube::Pod pod = MakePod();
    pod.spec.hostname = row.hostname;
    pod.spec.subdomain = row.subdomain;
    if (!row.override.empty()) pod.spec.hostnameOverride = row.override;
    const auto names = PodHostNames(pod, "cluster.local");
    REQUIRE_FALSE(names.ok());
    CHECK(std::string(names.status().message()).find(row.field) != std::string::npos);
  }
}

TEST_CASE("the hosts file names every address of the pod, then its aliases", "[translate]") {
  kube::Pod pod = MakePod();
  pod.spec.hostAliases = {{"203.0.113.9", {"db", "db.example"}}};
  const std::string text = HostsFile(pod, {"10.0.0.5", "fd00::5"}, {"web-0", "sub.shop.svc.cluster.local"}, "ignored");
  CHECK(text.rfind("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n", 0) == 0);
  CHECK(text.find("10.0.0.5\tweb-0.sub.shop.svc.cluster.local\tweb-0\n"
                  "fd00::5\tweb-0.sub.shop.svc.cluster.local\tweb-0\n"
                  "\n# Entries added by HostAliases.\n"
                  "203.0.113.9\tdb\tdb.example\n") != std::string::npos);
}

TEST_CASE("a pod in the host's network gets the host's file, marked as managed", "[translate]") {
  kube::Pod pod = MakePod();
  pod.spec.hostNetwork = true;
  CHECK(HostsFile(pod, {"192.0.2.1"}, {"web-0", ""}, "192.0.2.1\tthe-host\n") ==
        "# Kubernetes-managed hosts file (host network).\n192.0.2.1\tthe-host\n");
}

}  // namespace burstlet::provider
