// Static pods from a URL: what answers become, served by a real server that also misbehaves.
#include "provider/static_pod_url.h"

#include <catch2/catch.hpp>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "kube/api/meta.h"
#include "provider/static_pod.h"
#include "test/cache/plain_http.h"
#include "test/kube/fakes/loop_runner.h"

namespace burstlet::provider {
namespace {

using cache::test::Connection;
using cache::test::PlainServer;
using cache::test::ServerRequest;

std::string PodJson(const std::string& name, const std::string& type = R"("apiVersion":"v1","kind":"Pod",)") {
  return absl::StrCat("{", type, R"("metadata":{"name":")", name,
                      R"("},"spec":{"containers":[{"name":"a","image":"app:1"}]}})");
}

std::string ListJson(const std::string& kind, const std::string& items) {
  return absl::StrCat(R"({"apiVersion":"v1","kind":")", kind, R"(","items":[)", items, "]}");
}

std::string Refused(const std::string& text) {
  return std::string(ParseStaticPods("http://h/", text, "n1", 1).status().message());
}

/// A URL that answers with what the test says, and the source that asks it.
struct Url {
  explicit Url(std::chrono::milliseconds frequency = std::chrono::milliseconds(5)) {
    StaticPodUrl from;
    from.url = absl::StrCat("http://", server.host(), "/pods");
    from.headers = {{"X-Team", "a"}, {"X-Team", "b"}, {"Authorization", "Bearer secret"}};
    from.check_frequency = frequency;
    source = NewStaticPodUrl(loop, tasks, from, "n1");
    source->OnChange([this](StaticPodList pods) {
      names.clear();
      for (const auto& pod : pods) names.push_back(pod->metadata.name);
      ++told;
    });
  }
  ~Url() { source->Stop(); }
  void Answer(int code, const std::string& text, const std::string& more = "") {
    const std::lock_guard lock(mutex);
    status = code;
    body = text;
    headers = more;
  }
  /// The server has answered so many more requests, and the source has had the time to take all but the last.
  bool Asked(int more) {
    const int goal = server.Count("/pods") + more + 1;
    return kube::test::RunTask(loop, kube::test::Until(loop, [&] { return server.Count("/pods") >= goal; }));
  }
  bool Until(const std::vector<std::string>& wanted) {
    return kube::test::RunTask(loop, kube::test::Until(loop, [&] { return told > 0 && names == wanted; }));
  }

  std::mutex mutex;
  int status = 200;
  std::string body, headers;
  PlainServer server{[this](const ServerRequest&, Connection& connection) {
    const std::lock_guard lock(mutex);
    connection.SendResponse(status, body, headers);
  }};
  kube::Loop loop;
  kube::TaskGroup tasks{loop};
  std::unique_ptr<StaticPodSource> source;
  std::vector<std::string> names;
  int told = 0;
};

}  // namespace

TEST_CASE("a URL's answer is a pod or a list of them", "[static]") {
  const auto one = ParseStaticPods("http://h/p", PodJson("web"), "n1", 1);
  REQUIRE(one.ok());
  REQUIRE(one->size() == 1);
  const kube::Pod& pod = *one->front();
  CHECK(pod.metadata.name == "web-n1");
  CHECK(pod.metadata.annotations.at("kubernetes.io/config.source") == "http");
  CHECK(IsStaticPod(pod));
  CHECK(StaticKindOf(pod) == StaticOrigin::Kind::kUrl);
  // Another URL's pod is another pod; this one's is the same at any time.
  CHECK(ParseStaticPods("http://h/p", PodJson("web"), "n1", 2)->front()->metadata.uid == pod.metadata.uid);
  CHECK(ParseStaticPods("http://h/q", PodJson("web"), "n1", 1)->front()->metadata.uid != pod.metadata.uid);
  // Items of a typed list need not name their kind, as `kubectl get -o json` of the API itself does not.
  const auto many = ParseStaticPods("http://h/p", ListJson("PodList", PodJson("a", "") + "," + PodJson("b")), "n1", 1);
  REQUIRE(many.ok());
  CHECK(many->size() == 2);
  CHECK(ParseStaticPods("http://h/p", ListJson("List", PodJson("a")), "n1", 1)->size() == 1);
  CHECK(ParseStaticPods("http://h/p", ListJson("PodList", ""), "n1", 1)->empty());
  CHECK(ParseStaticPods("http://h/p", "apiVersion: v1\nkind: PodList\n", "n1", 1)->empty());
}

TEST_CASE("what is wrong with a URL's answer is told with the URL and the item", "[static]") {
  CHECK_THAT(Refused("<html>"), Catch::Contains("http://h/") && Catch::Contains("kind Pod"));
  CHECK_THAT(Refused(PodJson("a") + "\n---\n" + PodJson("b")), Catch::Contains("2 documents"));
  CHECK_THAT(Refused(ListJson("List", PodJson("a", ""))), Catch::Contains("items[0]: expected apiVersion v1"));
  CHECK_THAT(Refused(ListJson("PodList", PodJson("a") + "," + PodJson("B"))),
             Catch::Contains("items[1]: metadata.name"));
  CHECK_THAT(Refused(ListJson("PodList", PodJson("a") + "," + PodJson("a"))),
             Catch::Contains("items[1].metadata.name: a-n1 is there twice"));
}

TEST_CASE("a URL is asked with its headers, and its pods come, change and go", "[static]") {
  Url url;
  url.Answer(200, PodJson("web"));
  url.source->Start();
  REQUIRE(url.Until({"web-n1"}));
  const ServerRequest asked = url.server.requests().front();
  CHECK(asked.method == "GET");
  CHECK(asked.headers.at("authorization") == "Bearer secret");
  CHECK_THAT(asked.headers.at("x-team"), Catch::Contains("b"));
  // The same answer is no change.
  REQUIRE(url.Asked(2));
  CHECK(url.told == 1);
  url.Answer(200, ListJson("PodList", PodJson("web") + "," + PodJson("db")));
  REQUIRE(url.Until({"web-n1", "db-n1"}));
  url.Answer(200, ListJson("PodList", PodJson("db")));
  REQUIRE(url.Until({"db-n1"}));
  // No text at all: no pods.
  url.Answer(200, "");
  REQUIRE(url.Until({}));
}

TEST_CASE("a URL that fails or talks nonsense changes nothing", "[static]") {
  Url url;
  url.Answer(500, PodJson("early"));
  url.source->Start();
  REQUIRE(url.Asked(2));
  CHECK(url.told == 0);
  url.Answer(200, PodJson("web"));
  REQUIRE(url.Until({"web-n1"}));
  const int told = url.told;
  for (const auto& [status, text] : std::vector<std::pair<int, std::string>>{
           {404, ""}, {200, "nonsense"}, {200, ListJson("PodList", PodJson("web") + "," + PodJson("Bad"))}}) {
    url.Answer(status, text);
    REQUIRE(url.Asked(2));
    CHECK(url.told == told);
  }
  url.Answer(200, PodJson("web"));
  REQUIRE(url.Asked(2));
  CHECK(url.names == std::vector<std::string>{"web-n1"});
}

TEST_CASE("a redirect is followed, to another host without the headers", "[static]") {
  PlainServer other([](const ServerRequest&, Connection& connection) { connection.SendResponse(200, PodJson("far")); });
  Url url;
  url.Answer(302, "", absl::StrCat("Location: http://", other.host(), "/there\r\n"));
  url.source->Start();
  REQUIRE(url.Until({"far-n1"}));
  const ServerRequest asked = other.requests().front();
  CHECK(asked.target == "/there");
  CHECK_FALSE(asked.headers.contains("authorization"));
  CHECK_FALSE(asked.headers.contains("x-team"));
  // Round and round is an end, too.
  url.Answer(302, "", "Location: /pods\r\n");
  const int told = url.told;
  REQUIRE(url.Asked(30));
  CHECK(url.told == told);
}

TEST_CASE("stopping does not wait for a URL that is silent", "[static]") {
  PlainServer silent([](const ServerRequest&, Connection& connection) { connection.Hang(); });
  kube::Loop loop;
  kube::TaskGroup tasks(loop);
  StaticPodUrl from;
  from.url = absl::StrCat("http://", silent.host(), "/");
  from.time_limit = std::chrono::minutes(10);
  const auto source = NewStaticPodUrl(loop, tasks, from, "n1");
  source->Start();
  REQUIRE(kube::test::RunTask(loop, kube::test::Until(loop, [&] { return silent.Count("/") == 1; })));
  source->Stop();
  REQUIRE(kube::test::RunTask(loop, kube::test::Until(loop, [&] { return tasks.running() == 0; })));
}

}  // namespace burstlet::provider
