// Who may do what at the port: every path against every kind of client.
#include <catch2/catch.hpp>
#include <chrono>

#include "kube/server/authn.h"
#include "kube/server/authz.h"
#include "kube/server/router.h"
#include "test/kube/server/test_node.h"

namespace burstlet::kube::test {
namespace {

struct PathCase {
  std::string method;
  std::string path;
  std::vector<std::string> subresources;  // each of them alone is enough
  int served;                             // the status for who has the right
};

const std::vector<PathCase>& Paths() {
  static const std::vector<PathCase> paths = {
      {"GET", "/healthz", {"healthz", "proxy"}, 200},
      {"GET", "/healthz/ping", {"healthz", "proxy"}, 200},
      {"GET", "/healthz/syncloop", {"healthz", "proxy"}, 200},
      {"GET", "/pods", {"pods", "proxy"}, 200},
      {"GET", "/pods/", {"pods", "proxy"}, 200},
      {"GET", "/runningpods/", {"pods", "proxy"}, 200},
      {"GET", "/configz", {"configz", "proxy"}, 200},
      {"GET", "/stats/summary", {"stats"}, 200},
      {"GET", "/metrics", {"metrics"}, 200},
      {"GET", "/metrics/resource", {"metrics"}, 200},
      {"GET", "/metrics/cadvisor", {"metrics"}, 404},
      {"GET", "/metrics/probes", {"metrics"}, 404},
      {"GET", "/logs/", {"log"}, 405},
      {"GET", "/statusz", {"statusz"}, 200},
      {"GET", "/flagz", {"configz"}, 200},
      {"GET", "/metrics/slis", {"metrics"}, 200},
      {"POST", "/checkpoint/ns/pod/c", {"checkpoint"}, 501},
      {"GET", "/containerLogs/ns/pod/c", {"proxy"}, 404},
      {"POST", "/exec/ns/pod/c?command=a&output=1", {"proxy"}, 501},
      {"POST", "/exec/ns/pod/uid/c?command=a&output=1", {"proxy"}, 501},
      {"GET", "/attach/ns/pod/c?output=1", {"proxy"}, 501},
      {"POST", "/portForward/ns/pod", {"proxy"}, 501},
      {"POST", "/run/ns/pod/c?cmd=a", {"proxy"}, 501},
      {"GET", "/debug/pprof/heap", {"proxy"}, 405},
      {"PUT", "/debug/flags/v", {"proxy"}, 400},
      {"GET", "/pods/../exec/ns/pod/c", {"pods", "proxy"}, 404},
      {"GET", "//exec/ns/pod/c", {"proxy"}, 404},
      {"GET", "/unknown", {"proxy"}, 404},
  };
  return paths;
}

CertifiedKey ClientCertificate(const CertifiedKey& ca, const std::string& name, long not_after = 3600) {
  CertificateRequest request;
  request.common_name = name;
  request.not_before_seconds = -7200;
  request.not_after_seconds = not_after;
  return Issue(ca, request);
}

std::string VerbOf(const std::string& method) { return ApiVerb(method); }

TEST_CASE("every path answers strangers with 401, others by their rights", "[access]") {
  TestNode node;
  node.Start();
  const CertifiedKey stranger = ClientCertificate(MakeCa("other-ca"), "admin");
  const CertifiedKey expired = ClientCertificate(node.ca(), "admin", -3600);
  const CertifiedKey rightless = ClientCertificate(node.ca(), "nobody");
  CertificateRequest server_usage;
  server_usage.common_name = "admin";
  server_usage.server = true;
  const CertifiedKey wrong_usage = Issue(node.ca(), server_usage);
  TestClient none(node.port(), nullptr), wrong_ca(node.port(), &stranger), old(node.port(), &expired),
      powerless(node.port(), &rightless), server_cert(node.port(), &wrong_usage);
  int number = 0;
  for (const PathCase& path : Paths()) {
    INFO(path.method << " " << path.path);
    for (TestClient* client : {&none, &wrong_ca, &old, &server_cert}) {
      const ClientResponse response = client->Request(path.method, path.path, "Content-Length: 0\r\n");
      CHECK(response.status == 401);
      CHECK(response.body == "Unauthorized");
    }
    CHECK(none.Request(path.method, path.path, "Authorization: Bearer bad\r\nContent-Length: 0\r\n").status == 401);
    const ClientResponse forbidden = powerless.Request(path.method, path.path, "Content-Length: 0\r\n");
    CHECK(forbidden.status == 403);
    std::string list;
    for (const std::string& word : path.subresources) list += (list.empty() ? "" : " ") + word;
    CHECK(forbidden.body ==
          "Forbidden (user=nobody, verb=" + VerbOf(path.method) + ", resource=nodes, subresource(s)=[" + list + "])\n");
    for (const std::string& subresource : path.subresources) {
      const std::string user = "user-" + std::to_string(number++);
      node.Allow(user, VerbOf(path.method), subresource);
      const CertifiedKey identity = ClientCertificate(node.ca(), user);
      CHECK(Fetch(node.port(), &identity, path.method, path.path, "Content-Length: 0\r\n").status == path.served);
      // The same right by a token.
      CHECK(Fetch(node.port(), nullptr, path.method, path.path,
                  "Authorization: Bearer good-" + user + "\r\nContent-Length: 0\r\n")
                .status == path.served);
    }
  }
}

TEST_CASE("reviews are remembered", "[access]") {
  TestNode node;
  node.Start();
  for (int i = 0; i < 5; ++i) {
    CHECK(Fetch(node.port(), nullptr, "GET", "/metrics", "Authorization: Bearer good-admin\r\n").status == 200);
    CHECK(Fetch(node.port(), nullptr, "GET", "/metrics", "authorization: bearer bad\r\n").status == 401);
    CHECK(Fetch(node.port(), nullptr, "GET", "/metrics", "Authorization: Bearer good-nobody\r\n").status == 403);
  }
  CHECK(node.token_reviews() == 3);
  CHECK(node.access_reviews() == 2);
}

TEST_CASE("anonymous clients pass only where they are allowed, and never with a bad credential", "[access]") {
  TestNode node;
  node.Start([](KubeletServerConfig& config, KubeletHandlers&) { config.anonymous = true; });
  node.Allow("system:anonymous", "get", "healthz");
  CHECK(Fetch(node.port(), nullptr, "GET", "/healthz").status == 200);
  CHECK(Fetch(node.port(), nullptr, "GET", "/pods").status == 403);
  CHECK(Fetch(node.port(), nullptr, "GET", "/healthz", "Authorization: Bearer bad\r\n").status == 401);
  const CertifiedKey stranger = ClientCertificate(MakeCa("other-ca"), "admin");
  CHECK(Fetch(node.port(), &stranger, "GET", "/healthz").status == 401);
}

TEST_CASE("without a client CA or with tokens off, those identify nobody", "[access]") {
  TestNode node;
  node.Start([](KubeletServerConfig& config, KubeletHandlers&) {
    config.client_ca_file.clear();
    config.token_authentication = false;
  });
  CHECK(Fetch(node.port(), node.admin(), "GET", "/healthz").status == 401);
  CHECK(Fetch(node.port(), nullptr, "GET", "/healthz", "Authorization: Bearer good-admin\r\n").status == 401);
}

TEST_CASE("an access review that fails is no permission", "[access]") {
  TestNode node;
  node.Start([](KubeletServerConfig&, KubeletHandlers& handlers) {
    handlers.review_access = [](const SubjectAccessReviewSpec&, const Reply<SubjectAccessReviewStatus>& reply) {
      reply(absl::UnavailableError("no API server"));
    };
  });
  const ClientResponse response = Fetch(node.port(), node.admin(), "GET", "/pods");
  CHECK(response.status == 500);
  CHECK(response.body == "Authorization error (user=admin, verb=get, resource=nodes, subresource=pods)");
}

TEST_CASE("a certificate's groups and a token's extra reach the review", "[access]") {
  SubjectAccessReviewSpec seen;
  std::mutex mutex;
  TestNode node;
  node.Start([&](KubeletServerConfig&, KubeletHandlers& handlers) {
    handlers.review_access = [&](const SubjectAccessReviewSpec& spec, const Reply<SubjectAccessReviewStatus>& reply) {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        seen = spec;
      }
      SubjectAccessReviewStatus status;
      status.allowed = true;
      reply(status);
    };
  });
  CHECK(Fetch(node.port(), node.admin(), "GET", "/metrics").status == 200);
  const std::lock_guard<std::mutex> lock(mutex);
  CHECK(seen.user == "admin");
  CHECK(seen.groups == std::vector<std::string>{"system:masters", "system:authenticated"});
  CHECK(seen.extra.at("authentication.kubernetes.io/credential-id")[0].rfind("X509SHA256=", 0) == 0);
  CHECK(seen.resourceAttributes->version == "v1");
}

TEST_CASE("concurrent questions are one review, and old answers are asked anew", "[access]") {
  using Cache = ReviewCache<int>;
  auto now = std::chrono::steady_clock::time_point();
  int asked = 0;
  Cache::Callback open;
  Cache cache(2, 1, [](const int&) { return std::chrono::seconds(10); }, [&] { return now; });
  const Cache::Fetch fetch = [&](Cache::Callback done) {
    ++asked;
    open = std::move(done);
  };
  int answers = 0;
  const Cache::Callback count = [&](const absl::StatusOr<int>& value) { answers += value.ok() ? *value : 100; };
  cache.Get("a", fetch, count);
  cache.Get("a", fetch, count);
  cache.Get("b", fetch, count);  // one open question is the limit here
  CHECK(answers == 100);
  open(1);
  CHECK(answers == 102);
  cache.Get("a", fetch, count);
  CHECK(answers == 103);
  CHECK(asked == 1);
  now += std::chrono::seconds(10);
  cache.Get("a", fetch, count);
  CHECK(asked == 2);
  open(absl::UnavailableError("gone"));  // told, not remembered
  CHECK(answers == 203);
  cache.Get("a", fetch, count);
  CHECK(asked == 3);
}

}  // namespace
}  // namespace burstlet::kube::test
