// Secrets and ConfigMaps by watch: shared, followed, retried while the server lags, bounded in number.
#include "kube/object_watch.h"

#include <catch2/catch.hpp>

#include "test/kube/fakes/loop_runner.h"
#include "test/kube/fakes/scripted_client.h"

namespace burstlet::kube::test {
namespace {

using Answer = absl::StatusOr<std::shared_ptr<const ConfigMap>>;

std::string MapJson(const std::string& value, int version, bool immutable = false) {
  return R"({"metadata":{"name":"m","resourceVersion":")" + std::to_string(version) + R"("},"data":{"k":")" + value +
         "\"}" + (immutable ? R"(,"immutable":true})" : "}");
}

Response ListOf(const std::string& item) {
  return {200, R"({"metadata":{"resourceVersion":"5"},"items":[)" + item + "]}"};
}

Response Refused(int code, const std::string& reason) {
  return {code, R"({"kind":"Status","reason":")" + reason + R"(","message":")" + reason + R"(","code":)" +
                    std::to_string(code) + "}"};
}

struct Fixture {
  Loop loop;
  std::function<Response(const ScriptedRequest&)> script = [](const ScriptedRequest&) {
    return ListOf(MapJson("v", 1));
  };
  ScriptedClient client{loop, [this](const ScriptedRequest& request) -> absl::StatusOr<Response> {
                          const Response response = script(request);
                          const auto status = StatusOfResponse(response.code, response.body, {});
                          if (!status.ok()) return status;
                          return response;
                        }};
  std::unique_ptr<ObjectWatch> watch = NewObjectWatch(client, loop, 2, std::chrono::milliseconds(0));
  std::vector<std::string> changed;

  Fixture() {
    watch->OnChange([this](const std::string& owner) { changed.push_back(owner); });
  }
  ~Fixture() { RunTask(loop, watch->Stop()); }

  Answer Get(const std::string& name = "m") {
    return Await<Answer>(loop, watch->GetConfigMap("ns", name), absl::UnknownError("pending"));
  }
  bool Wait(std::function<bool()> condition) { return RunTask(loop, Until(loop, std::move(condition))); }
  int Gets() const {
    int count = 0;
    for (const auto& request : client.requests)
      count += request.path.find("fieldSelector") == std::string::npos ? 1 : 0;
    return count;
  }
};

TEST_CASE("one watch serves all owners of an object", "[object_watch]") {
  Fixture f;
  f.watch->AcquireConfigMap("pod-1", "ns", "m");
  f.watch->AcquireConfigMap("pod-2", "ns", "m");
  f.watch->AcquireConfigMap("pod-2", "ns", "m");
  const auto map = f.Get();
  REQUIRE(map.ok());
  CHECK((*map)->data.at("k") == "v");
  REQUIRE(f.Get().ok());
  CHECK(f.client.requests.size() == 1);
  CHECK(f.client.requests[0].path == "/api/v1/namespaces/ns/configmaps?limit=500&fieldSelector=metadata.name%3Dm");
  CHECK(f.changed.empty());
  REQUIRE(f.Wait([&] { return f.client.streams.size() == 1; }));
  f.watch->Release("pod-1");
  CHECK(f.client.streams.size() == 1);
  f.watch->Release("pod-2");
  CHECK(f.Wait([&] { return f.client.streams.empty(); }));
}

TEST_CASE("a change is told to each owner, and seen by the next Get", "[object_watch]") {
  Fixture f;
  f.watch->AcquireConfigMap("pod-1", "ns", "m");
  f.watch->AcquireConfigMap("pod-2", "ns", "m");
  REQUIRE(f.Get().ok());
  REQUIRE(f.Wait([&] { return f.client.streams.size() == 1; }));
  f.client.Push("configmaps", R"({"type":"MODIFIED","object":)" + MapJson("w", 6) + "}");
  CHECK(f.changed == std::vector<std::string>{"pod-1", "pod-2"});
  CHECK((*f.Get())->data.at("k") == "w");
  f.client.Push("configmaps", R"({"type":"DELETED","object":)" + MapJson("w", 7) + "}");
  CHECK(f.changed.size() == 4);
  CHECK(absl::IsNotFound(f.Get().status()));
}

TEST_CASE("an object that does not exist is kNotFound at once, and appears with the watch", "[object_watch]") {
  Fixture f;
  f.script = [](const ScriptedRequest&) { return ListOf(""); };
  f.watch->AcquireConfigMap("pod-1", "ns", "m");
  const auto missing = f.Get();
  CHECK(absl::IsNotFound(missing.status()));
  CHECK(missing.status().message() == "configmaps \"m\" not found");
  REQUIRE(f.Wait([&] { return f.client.streams.size() == 1; }));
  f.client.Push("configmaps", R"({"type":"ADDED","object":)" + MapJson("v", 6) + "}");
  CHECK(f.changed == std::vector<std::string>{"pod-1"});
  CHECK(f.Get().ok());
}

TEST_CASE("a 403 right after the pod appeared is tried again and never seen", "[object_watch]") {
  Fixture f;
  int refused = 0;
  f.script = [&refused](const ScriptedRequest&) {
    return ++refused <= 3 ? Refused(403, "Forbidden") : ListOf(MapJson("v", 1));
  };
  f.watch->AcquireConfigMap("pod-1", "ns", "m");
  CHECK(f.Get().ok());
  CHECK(f.client.requests.size() == 4);
}

TEST_CASE("a 403 that stays is the answer after a while", "[object_watch]") {
  Fixture f;
  f.script = [](const ScriptedRequest&) { return Refused(403, "Forbidden"); };
  f.watch->AcquireConfigMap("pod-1", "ns", "m");
  CHECK(absl::IsPermissionDenied(f.Get().status()));
  CHECK(f.client.requests.size() > 4);
}

TEST_CASE("an immutable object is not watched on", "[object_watch]") {
  Fixture f;
  f.script = [](const ScriptedRequest&) { return ListOf(MapJson("v", 1, true)); };
  f.watch->AcquireConfigMap("pod-1", "ns", "m");
  REQUIRE(f.Get().ok());
  CHECK(f.Wait([&] { return f.client.streams.empty(); }));
  CHECK(f.Get().ok());
  CHECK(f.client.requests.size() == 1);
}

TEST_CASE("beyond the number of watches objects are fetched, and kept", "[object_watch]") {
  Fixture f;
  f.script = [](const ScriptedRequest& request) {
    return request.path.find("fieldSelector") != std::string::npos ? ListOf(MapJson("v", 1))
                                                                   : Response{200, MapJson("fetched", 2)};
  };
  for (const char* name : {"a", "b", "c"}) f.watch->AcquireConfigMap("pod-1", "ns", name);
  REQUIRE(f.Get("a").ok());
  REQUIRE(f.Get("b").ok());
  CHECK(f.Gets() == 0);
  CHECK((*f.Get("c"))->data.at("k") == "fetched");
  REQUIRE(f.Get("c").ok());
  CHECK(f.Gets() == 1);
  CHECK(f.client.streams.size() <= 2);
}

TEST_CASE("an object nobody holds is fetched each time", "[object_watch]") {
  Fixture f;
  f.script = [](const ScriptedRequest&) { return Response{200, MapJson("v", 1)}; };
  CHECK(f.Get().ok());
  CHECK(f.Get().ok());
  CHECK(f.Gets() == 2);
}

TEST_CASE("a Get that waits for a released object is cancelled", "[object_watch]") {
  Fixture f;
  int tries = 0;
  f.script = [&](const ScriptedRequest&) {
    if (++tries == 2) f.watch->Release("pod-1");
    return Refused(503, "ServiceUnavailable");
  };
  f.watch->AcquireConfigMap("pod-1", "ns", "m");
  CHECK(absl::IsCancelled(f.Get().status()));
}

}  // namespace
}  // namespace burstlet::kube::test
