#include "kube/server/zpages.h"

#include <catch2/catch.hpp>

#include "kube/server/health_results.h"

namespace burstlet::kube {
namespace {

HttpRequest Accepting(const std::string& accept) {
  HttpRequest request;
  if (!accept.empty()) request.headers.emplace_back("Accept", accept);
  return request;
}

const StatuszFacts kFacts{1'764'000'000, 1'764'003'725, "1.37.2+burstlet-0.1.0", "1.37", {"/healthz", "/pods"}};

}  // namespace

TEST_CASE("statusz is text for who asks for nothing or for text") {
  for (const char* accept : {"", "*/*", "text/plain", "text/html, text/*;q=0.5"}) {
    INFO(accept);
    const HttpResponse response = Statusz(Accepting(accept), kFacts);
    CHECK(response.status == 200);
    CHECK(response.content_type == "text/plain; charset=utf-8");
    CHECK(response.body ==
          "\nkubelet statusz\nWarning: This endpoint is not meant to be machine parseable, has no formatting "
          "compatibility guarantees and is for debugging purposes only.\n\n"
          "Started: Mon Nov 24 16:00:00 UTC 2025\nUp: 1 hr 02 min 05 sec\nGo version: \n"
          "Binary version: 1.37.2+burstlet-0.1.0\nEmulation version: 1.37\nPaths: /healthz /pods\n");
  }
}

TEST_CASE("statusz is an object for who names it") {
  const HttpResponse json = Statusz(Accepting("application/json;v=v1beta1;g=config.k8s.io;as=Statusz"), kFacts);
  CHECK(json.content_type == "application/json");
  CHECK(json.body ==
        "{\"kind\":\"Statusz\",\"apiVersion\":\"config.k8s.io/v1beta1\",\"metadata\":{\"name\":\"kubelet\"},"
        "\"startTime\":\"2025-11-24T16:00:00Z\",\"uptimeSeconds\":3725,\"goVersion\":\"\","
        "\"binaryVersion\":\"1.37.2+burstlet-0.1.0\",\"emulationVersion\":\"1.37\",\"paths\":[\"/healthz\",\"/"
        "pods\"]}\n");
  CHECK(json.headers.empty());
  const HttpResponse old = Statusz(Accepting("application/yaml;as=Statusz;g=config.k8s.io;v=v1alpha1"), kFacts);
  CHECK(old.content_type == "application/yaml");
  CHECK(old.body.find("apiVersion: \"config.k8s.io/v1alpha1\"\n") != std::string::npos);
  REQUIRE(old.headers.size() == 1);
  CHECK(old.headers[0].first == "Warning");
}

TEST_CASE("what a z-page is not served as is not acceptable") {
  for (const char* accept : {"application/json", "application/json;v=v1;g=config.k8s.io;as=Statusz", "image/png",
                             "application/json;v=v1beta1;g=config.k8s.io;as=Flagz", "text/plain;q=0"}) {
    INFO(accept);
    CHECK(Statusz(Accepting(accept), kFacts).status == 406);
  }
  // The better liked wins, of equals the first.
  CHECK(Statusz(Accepting("text/plain;q=0.3,application/json;v=v1beta1;g=config.k8s.io;as=Statusz"), kFacts)
            .content_type == "application/json");
  CHECK(Statusz(Accepting("text/plain,application/json;v=v1beta1;g=config.k8s.io;as=Statusz"), kFacts).content_type ==
        "text/plain; charset=utf-8");
}

TEST_CASE("flagz tells the flags, a line each or as an object") {
  const std::map<std::string, std::string> flags{{"node-name", "n\"1"}, {"v", "2"}};
  const std::string text = Flagz(Accepting(""), flags).body;
  CHECK(text.rfind("\nkubelet flagz\nWarning: ", 0) == 0);
  CHECK(text.find("only.\nnode-name=n\"1\nv=2\n") != std::string::npos);
  CHECK(Flagz(Accepting("application/json;v=v1beta1;g=config.k8s.io;as=Flagz"), flags).body ==
        "{\"kind\":\"Flagz\",\"apiVersion\":\"config.k8s.io/v1beta1\",\"metadata\":{\"name\":\"kubelet\"},"
        "\"flags\":{\"node-name\":\"n\\\"1\",\"v\":\"2\"}}\n");
}

TEST_CASE("health checks are counted by name and outcome") {
  HealthResults results;
  CHECK(results.Text(7).find("kubernetes_healthcheck") == std::string::npos);
  results.Observe("ping", true);
  results.Observe("ping", true);
  results.Observe("syncloop", true);
  results.Observe("syncloop", false);
  const std::string text = results.Text(7);
  for (const char* line : {"kubernetes_healthcheck{name=\"ping\",type=\"healthz\"} 1\n",
                           "kubernetes_healthcheck{name=\"syncloop\",type=\"healthz\"} 0\n",
                           "kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"healthz\"} 2\n",
                           "kubernetes_healthchecks_total{name=\"syncloop\",status=\"error\",type=\"healthz\"} 1\n",
                           "process_start_time_seconds 7\n"}) {
    CHECK(text.find(line) != std::string::npos);
  }
}

}  // namespace burstlet::kube
