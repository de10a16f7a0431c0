// What no dry run can show: formats by table, and pods that only exist without a cluster.
#include "provider/validation.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>

#include "provider/defaults.h"
#include "provider/validation_names.h"

namespace burstlet::provider {
namespace {

using validation::Messages;

struct Format {
  const char* name;
  std::function<Messages(const std::string&)> check;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

std::vector<Format> Formats() {
  const std::string long_label(63, 'a');
  const std::string long_subdomain = long_label + "." + long_label + "." + long_label + "." + std::string(61, 'a');
  return {
      {"label",
       validation::DnsLabel,
       {"a", "a-1", "0", long_label},
       {"", "-a", "a-", "A", "a.b", "a_b", long_label + "a"}},
      {"subdomain",
       validation::DnsSubdomain,
       {"a", "a.b-c.0", long_subdomain},
       {"", ".", "a.", ".a", "a..b", "a_b", long_subdomain + "a"}},
      {"search domain", validation::DnsSubdomainWithUnderscore, {"_a.b", "a_b"}, {"__a", "_", "a_", ""}},
      {"qualified name",
       validation::QualifiedName,
       {"a", "A_b.c", "a.b/C", "1"},
       {"", "/a", "a/", "a/b/c", "_a", "A.b/c", long_label + "a"}},
      {"label value", validation::LabelValue, {"", "a", "A_b.c-1"}, {"-", "a b", "a/", long_label + "a"}},
      {"port name",
       validation::PortName,
       {"a", "http-1", "1a"},
       {"", "1", "A", "-a", "a-", "a--b", "sixteen-letters-"}},
      {"env name", validation::EnvName, {"A", "1", "a b", "!"}, {"", "a=b", "\x7f", "\n", "\xc3\xa4"}},
      {"config key", validation::ConfigKey, {"a", ".a", "A_b.c-1"}, {"", ".", "..", "..a", "a/b"}},
      {"header", validation::HttpHeaderName, {"X-Y", "1"}, {"", "a b", "a:"}},
      {"address",
       validation::IpAddress,
       {"1.2.3.4", "::1", "FE80:0::1"},
       {"", "1.2.3", "01.2.3.4", "::ffff:1.2.3.4", "a", "1.2.3.4.5", "..."}},
      {"no backsteps", validation::NoBacksteps, {"", "/a/...", "a..b/..c"}, {"..", "/../a", "a/.."}},
      {"descending path", validation::DescendingPath, {"a/b", ""}, {"/a", "a/../b"}},
      {"local path", validation::LocalPath, {"a", ".a"}, {"..data", "/a", "../a"}},
  };
}

kube::Pod ValidPod() {
  kube::Pod pod;
  pod.metadata.name = "web";
  pod.metadata.namespace_ = "default";
  pod.spec.containers.emplace_back();
  pod.spec.containers[0].name = "main";
  pod.spec.containers[0].image = "busybox:1";
  ApplyPodDefaults(pod);
  return pod;
}

using List = std::vector<std::string>;

}  // namespace

TEST_CASE("formats of the API take what they should and nothing else", "[validation]") {
  for (const Format& format : Formats()) {
    for (const std::string& value : format.good) {
      INFO(format.name << " takes \"" << value << "\"");
      CHECK(format.check(value).empty());
    }
    for (const std::string& value : format.bad) {
      INFO(format.name << " refuses \"" << value << "\"");
      CHECK_FALSE(format.check(value).empty());
    }
  }
}

TEST_CASE("names of sysctls", "[validation]") {
  for (const char* good : {"net.core.somaxconn", "net/ipv4/conf/eth0.1/rp_filter", "a"}) {
    CHECK(validation::IsSysctlName(good));
  }
  for (const char* bad : {"", ".", "a.", "A", "a..b", "a b"}) CHECK_FALSE(validation::IsSysctlName(bad));
  CHECK_FALSE(validation::IsSysctlName(std::string(254, 'a')));
}

TEST_CASE("complaints read as the API server's", "[validation]") {
  validation::Complaints complaints;
  complaints.Required("a");
  complaints.Required("a", "why");
  complaints.Forbidden("b", "never");
  complaints.Invalid("c", "x\"\n\x01", "bad");
  complaints.Invalid("d", -1, "bad");
  complaints.NotSupported("e", "x", {"A", "B"});
  complaints.NotFound("f", "x");
  complaints.Duplicate("g", "x");
  complaints.TooLong("h", 64);
  complaints.TooMany("i", 21, 20);
  complaints.InRange("j", 0, 1, 5);
  complaints.NotNegative("k", -2);
  CHECK(complaints.Take() == List{"a: Required value", "a: Required value: why", "b: Forbidden: never",
                                  "c: Invalid value: \"x\\\"\\n\\x01\": bad", "d: Invalid value: -1: bad",
                                  "e: Unsupported value: \"x\": supported values: \"A\", \"B\"", "f: Not found: \"x\"",
                                  "g: Duplicate value: \"x\"", "h: Too long: may not be more than 64 bytes",
                                  "i: Too many: 21: must have at most 20 items",
                                  "j: Invalid value: 0: must be between 1 and 5, inclusive",
                                  "k: Invalid value: -2: must be greater than or equal to 0"});
}

TEST_CASE("a pod with its defaults is valid", "[validation]") { CHECK(ValidatePod(ValidPod()).empty()); }

TEST_CASE("a pod without its defaults is not", "[validation]") {
  kube::Pod pod;
  pod.spec.containers.emplace_back();
  const List complaints = ValidatePod(pod);
  const auto has = [&](const std::string& text) {
    return std::find(complaints.begin(), complaints.end(), text) != complaints.end();
  };
  CHECK(has("metadata.name: Required value: name or generateName is required"));
  CHECK(has("metadata.namespace: Required value"));
  CHECK(has("spec.terminationGracePeriodSeconds: Required value"));
  CHECK(has("spec.restartPolicy: Required value"));
  CHECK(has("spec.dnsPolicy: Required value"));
  CHECK(has("spec.containers[0].name: Required value"));
  CHECK(has("spec.containers[0].image: Required value"));
  CHECK(has("spec.containers[0].imagePullPolicy: Required value"));
  CHECK(has("spec.containers[0].terminationMessagePolicy: Required value"));
}

TEST_CASE("without a cluster there is no account that a token could be for", "[validation]") {
  kube::Pod pod = ValidPod();
  kube::Volume& volume = pod.spec.volumes.emplace_back();
  volume.name = "token";
  volume.projected.emplace().sources.emplace_back().serviceAccountToken.emplace().path = "token";
  ApplyPodDefaults(pod);
  CHECK(ValidatePod(pod) == List{"spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be "
                                 "specified when serviceAccountName is not set"});
  pod.spec.serviceAccountName = pod.spec.serviceAccount = "builder";
  CHECK(ValidatePod(pod).empty());
}

TEST_CASE("text that is no quantity is refused by name", "[validation]") {
  kube::Pod pod = ValidPod();
  pod.spec.containers[0].resources.requests["cpu"] = {"much"};
  const List complaints = ValidatePod(pod);
  REQUIRE(complaints.size() == 1);
  CHECK(complaints[0].starts_with("spec.containers[0].resources.requests[cpu]: Invalid value: \"much\": quantities"));
}

TEST_CASE("the stop signal needs the pod's system and a signal's name", "[validation]") {
  kube::Pod pod = ValidPod();
  pod.spec.containers[0].lifecycle.emplace().stopSignal = "SIGUSR1";
  CHECK(ValidatePod(pod) == List{"spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers "
                                 "with empty `spec.os.name`"});
  pod.spec.os = kube::PodOS{"linux"};
  CHECK(ValidatePod(pod).empty());
  pod.spec.containers[0].lifecycle->stopSignal = "SIGNAL";
  CHECK(ValidatePod(pod).size() == 1);
}

TEST_CASE("overhead is checked like limits", "[validation]") {
  kube::Pod pod = ValidPod();
  pod.spec.overhead["cpu"] = {"-1"};
  CHECK(ValidatePod(pod) ==
        List{"spec.overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"});
}

}  // namespace burstlet::provider
