#include "provider/config.h"

#include <catch2/catch.hpp>
#include <string>

#include "provider/yaml.h"

namespace burstlet::provider {
namespace {

constexpr char kHead[] = "apiVersion: burstlet.io/v1alpha1\nkind: BurstletConfiguration\n";

std::string ErrorOf(const std::string& body) {
  Config config;
  return std::string(ParseConfig("b.yaml", kHead + body, config).message());
}

}  // namespace

TEST_CASE("a configuration file sets what it names and nothing else", "[config]") {
  Config config;
  const std::string text = std::string(kHead) +
                           "port: 10350\n"
                           "authentication: {x509: {clientCAFile: /ca.crt}, anonymous: {enabled: false}}\n"
                           "clusterDNS: [10.0.0.10]\n"
                           "podCIDR: 10.9.0.0/16,fd00::/64\n"
                           "registerWithTaints:\n- {key: a/b, value: c, effect: NoExecute}\n"
                           "systemReserved: {cpu: 200m, memory: 1Gi}\n"
                           "nodeStatusReportFrequency: 1m30s\n"
                           "registries: {plainHTTP: ['registry.lan:5000']}\n"
                           "imageLayers: {format: erofs-loop, scrubInterval: 1h, scrubBytesPerSecond: 5Mi}\n";
  REQUIRE(ParseConfig("b.yaml", text, config).ok());
  CHECK(config.port == 10350);
  CHECK(config.client_ca_file == "/ca.crt");
  CHECK(config.cluster_dns == std::vector<std::string>{"10.0.0.10"});
  CHECK(config.pod_cidrs == std::vector<std::string>{"10.9.0.0/16", "fd00::/64"});
  REQUIRE(config.register_with_taints.size() == 1);
  CHECK(config.register_with_taints[0].effect == "NoExecute");
  CHECK(config.system_reserved.at("memory") == "1Gi");
  CHECK(config.node_status_report_frequency.count() == 90);
  CHECK(config.plain_http_registries == std::vector<std::string>{"registry.lan:5000"});
  CHECK(config.image_layer_format == "erofs-loop");
  CHECK(config.image_scrub_interval == std::chrono::hours(1));
  CHECK(config.image_scrub_bytes_per_second == 5 << 20);
  CHECK(config.max_pods == 500);
}

TEST_CASE("CPU quota and memory protection are configured as a kubelet's", "[config]") {
  Config config;
  const std::string head = "apiVersion: burstlet.io/v1alpha1\nkind: BurstletConfiguration\n";
  REQUIRE(ParseConfig("b.yaml",
                      head + "cpuCFSQuota: false\ncpuCFSQuotaPeriod: 20ms\nmemoryThrottlingFactor: 0.8\n"
                             "memoryReservationPolicy: TieredReservation\n",
                      config)
              .ok());
  CHECK_FALSE(config.cpu_cfs_quota);
  CHECK(config.cpu_cfs_quota_period == std::chrono::milliseconds(20));
  CHECK(config.memory_throttling_factor == 0.8);
  CHECK(config.memory_reservation_policy == "TieredReservation");
  CHECK(ErrorOf("cpuCFSQuotaPeriod: 2s\n") ==
        "b.yaml: line 3: cpuCFSQuotaPeriod: must be between 1ms and 1s, inclusive");
  CHECK(ErrorOf("memoryThrottlingFactor: 1.5\n") ==
        "b.yaml: line 3: memoryThrottlingFactor: \"1.5\" must be greater than 0 and less than or equal to 1.0");
  CHECK(ErrorOf("memoryReservationPolicy: Hard\n").find("\"Hard\" is none of") != std::string::npos);
}

TEST_CASE("static pods of a URL are configured as a kubelet's, and their headers stay secret", "[config]") {
  Config config;
  REQUIRE(ParseConfig("b.yaml",
                      std::string(kHead) + "staticPodURL: https://pods.test/n1\nhttpCheckFrequency: 5s\n"
                                           "staticPodURLHeader:\n  Authorization: [Bearer hidden]\n  X-A: ['1', '2']\n",
                      config)
              .ok());
  CHECK(config.static_pod_url == "https://pods.test/n1");
  CHECK(config.http_check_frequency.count() == 5);
  const std::vector<std::pair<std::string, std::string>> headers{
      {"Authorization", "Bearer hidden"}, {"X-A", "1"}, {"X-A", "2"}};
  CHECK(config.static_pod_url_headers == headers);
  CHECK(ConfigJson(config).find("\"staticPodURL\":\"https://pods.test/n1\"") != std::string::npos);
  CHECK(ConfigJson(config).find("hidden") == std::string::npos);
  CHECK(ErrorOf("staticPodURLHeader: [a]\n") == "b.yaml: line 3: staticPodURLHeader: expected a map");
  CHECK(ErrorOf("staticPodURLHeader: {X-A: b}\n") == "b.yaml: line 3: staticPodURLHeader: X-A: expected a list");
  config.node_name = "n1";
  CHECK(FinishConfig(config).ok());
  Config wrong = config;
  wrong.static_pod_url = "ftp://pods.test/";
  CHECK(std::string(FinishConfig(wrong).message()).find("staticPodURL: \"ftp://pods.test/\"") == 0);
  wrong = config;
  wrong.static_pod_url_headers = {{"a b", "c"}};
  CHECK(FinishConfig(wrong).message() == "staticPodURLHeader: \"a b\": is no name of a header");
  wrong.static_pod_url_headers = {{"A", "b\r\nC: d"}};
  CHECK(FinishConfig(wrong).message() == "staticPodURLHeader.A: control characters are not allowed");
}

TEST_CASE("what is wrong in a configuration file is named with its line", "[config]") {
  CHECK(ErrorOf("maxPodz: 5\n") == "b.yaml: line 3: unknown field \"maxPodz\"");
  CHECK(ErrorOf("\nauthentication:\n  x509:\n    caFile: x\n") ==
        "b.yaml: line 6: unknown field \"authentication.x509.caFile\"");
  CHECK(ErrorOf("port: 70000\n") == "b.yaml: line 3: port: 70000 is not within 0 to 65535");
  CHECK(ErrorOf("port: many\n") == "b.yaml: line 3: port: expected a whole number");
  CHECK(ErrorOf("port: 1\nport: 2\n") == "b.yaml: line 4: key \"port\" given twice");
  CHECK(ErrorOf("systemReserved: {cpu: lots}\n").find("line 3: systemReserved: cpu:") != std::string::npos);
  CHECK(ErrorOf("registerWithTaints: [{key: a, effect: Never}]\n").find("\"Never\" is none of") != std::string::npos);
  CHECK(ErrorOf("nodeStatusUpdateFrequency: soon\n").find("expected a duration") != std::string::npos);
  Config config;
  CHECK(ParseConfig("b.yaml", "kind: Pod\n", config).message() ==
        "b.yaml: expected apiVersion burstlet.io/v1alpha1 and kind BurstletConfiguration");
  CHECK(std::string(ParseConfig("b.yaml", "a: [1\n", config).message()).find("b.yaml: line ") == 0);
}

TEST_CASE("a configuration is refused as a whole when it makes no sense", "[config]") {
  Config config;
  config.node_name = "n1";
  config.cgroup_root = "/kubepods/x";
  CHECK(std::string(FinishConfig(config).message()).find("cgroupRoot") == 0);
  config.cgroup_root = "/burstlet";
  config.node_name = "Not_A_Name";
  CHECK(std::string(FinishConfig(config).message()).find("--node-name") == 0);
  config.node_name = "n1";
  config.tls_cert_file = "/nowhere/tls.crt";
  CHECK(std::string(FinishConfig(config).message()).find("tlsCertFile and tlsPrivateKeyFile") == 0);
  config.tls_private_key_file = "/nowhere/tls.key";
  CHECK(std::string(FinishConfig(config).message()).find("tlsCertFile: /nowhere/tls.crt") == 0);
}

TEST_CASE("the marks and ages of image garbage collection must fit together", "[config]") {
  Config config;
  config.node_name = "n1";
  config.image_gc_low_threshold_percent = 85;
  CHECK(FinishConfig(config).message() ==
        "imageGCLowThresholdPercent: \"85\": must be less than imageGCHighThresholdPercent, 85");
  config.image_gc_low_threshold_percent = 10;
  config.image_gc_high_threshold_percent = 100;
  CHECK(FinishConfig(config).ok());
  config.image_maximum_gc_age = std::chrono::seconds(60);
  CHECK(FinishConfig(config).message() == "imageMaximumGCAge: \"60s\": must be more than imageMinimumGCAge, 120s");
  CHECK(ErrorOf("imageGCHighThresholdPercent: 101\n") ==
        "b.yaml: line 3: imageGCHighThresholdPercent: 101 is not within 0 to 100");
}

TEST_CASE("configz shows what holds, in the kubelet's formats, and this agent's own fields apart", "[config]") {
  Config config;
  const std::string text =
      std::string(kHead) +
      "port: 10350\nclusterDNS: [10.0.0.10, fd00::a]\npodCIDR: 10.9.0.0/16,fd00::/64\n"
      "nodeStatusReportFrequency: 1m30s\ncpuCFSQuotaPeriod: 20ms\ncontainerLogMaxSize: 20Mi\n"
      "systemReserved: {cpu: 200m}\nregisterWithTaints: []\nallowedUnsafeSysctls: [\"net.*\"]\n"
      "registries: {plainHTTP: ['registry.lan:5000']}\nnetwork: none\nmemoryThrottlingFactor: 0.8\n";
  REQUIRE(ParseConfig("b.yaml", text, config).ok());
  const std::string json = ConfigJson(config);
  const std::size_t apart = json.find(",\"burstletconfig\":");
  REQUIRE(apart != std::string::npos);
  const std::string kubelet = json.substr(0, apart);
  const std::string own = json.substr(apart);
  INFO(json);
  for (const char* part :
       {R"({"kubeletconfig":{"address":"0.0.0.0","allowedUnsafeSysctls":["net.*"],)",
        R"("apiVersion":"kubelet.config.k8s.io/v1beta1",)", R"("kind":"KubeletConfiguration",)",
        R"("authentication":{"anonymous":{"enabled":false},"webhook":{"cacheTTL":"2m0s","enabled":true},"x509":{}},)",
        R"("authorization":{"mode":"Webhook","webhook":{"cacheAuthorizedTTL":"5m0s","cacheUnauthorizedTTL":"30s"}},)",
        R"("clusterDNS":["10.0.0.10","fd00::a"],)", R"("podCIDR":"10.9.0.0/16,fd00::/64",)", R"("port":10350,)",
        R"("nodeStatusReportFrequency":"1m30s",)", R"("cpuCFSQuotaPeriod":"20ms",)", R"("containerLogMaxSize":"20Mi",)",
        R"("crashLoopBackOff":{"maxContainerRestartPeriod":"5m0s"},)", R"("systemReserved":{"cpu":"200m"},)",
        R"("registerWithTaints":[],)", R"("memoryThrottlingFactor":0.8,)", R"("readOnlyPort":0,)",
        R"("rotateCertificates":false,)"}) {
    INFO(part);
    CHECK(kubelet.find(part) != std::string::npos);
  }
  CHECK(kubelet.find("\"network\"") == std::string::npos);
  CHECK(own.find(R"("network":"none",)") != std::string::npos);
  CHECK(own.find(R"("registries":{"plainHTTP":["registry.lan:5000"]},)") != std::string::npos);
  config.bootstrap_kubeconfig = "/b";
  CHECK(ConfigJson(config).find(R"("rotateCertificates":true)") != std::string::npos);
}

TEST_CASE("YAML scalars become the JSON that kubectl would send", "[yaml]") {
  const auto json = [](const std::string& text) {
    auto documents = ParseYaml(text);
    REQUIRE(documents.ok());
    REQUIRE(documents->size() == 1);
    return YamlToJson(documents->front());
  };
  CHECK(json("a: 0644\nb: \"0644\"\nc: 1.5\nd: yes\ne: true\nf:\ng: 1Gi\nh: -3\n") ==
        R"({"a":420,"b":"0644","c":1.5,"d":true,"e":true,"f":null,"g":"1Gi","h":-3})");
  CHECK(json("- a\n- [1, \"x\\ny\"]\n- {}\n") == R"(["a",[1,"x\u000ay"],{}])");
  CHECK(json("a: &x {k: v}\nb: *x\n") == R"({"a":{"k":"v"},"b":{"k":"v"}})");
}

TEST_CASE("a YAML bomb is refused", "[yaml]") {
  std::string text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c <= 'h'; ++c) {
    const std::string previous(1, static_cast<char>(c - 1));
    text += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) text += (i ? ",*" : "*") + previous;
    text += "]\n";
  }
  CHECK(ParseYaml(text).status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace burstlet::provider
