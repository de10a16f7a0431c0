// List and watch against a scripted server: pages, bookmarks, cuts, 410, and servers that come and go.
#include "kube/reflector.h"

#include <catch2/catch.hpp>

#include "test/kube/fakes/fake_api_server.h"
#include "test/kube/fakes/loop_runner.h"

namespace burstlet::kube::test {
namespace {

/// Records what a reflector tells, and ends the test when enough was told.
struct Recorder {
  Loop loop;
  CancelToken cancel;
  std::vector<std::string> told;
  std::vector<absl::Status> failures;
  std::size_t enough = 0;

  void Tell(std::string what) {
    told.push_back(std::move(what));
    if (told.size() >= enough) cancel.Cancel();
  }

  bool Run(const FakeApiServer& server, const std::string& selector, std::size_t events) {
    enough = events;
    ClientConfig config;
    config.server = server.url();
    const auto client = NewClient(loop, config).value();
    ReflectorHandlers handlers;
    handlers.replace = [this](std::vector<std::string> objects) {
      std::string all = "replace:";
      for (const auto& object : objects) all += object + ";";
      Tell(all);
    };
    handlers.changed = [this](std::string object) { Tell("changed:" + object); };
    handlers.deleted = [this](std::string object) { Tell("deleted:" + object); };
    handlers.list_failed = [this](absl::Status why) { failures.push_back(std::move(why)); };
    return RunTask(loop, RunReflector(*client, loop, "pods", "/api/v1/pods", selector, handlers, cancel));
  }
};

std::string Object(const std::string& name, int version) {
  return R"({"metadata":{"name":")" + name + R"(","resourceVersion":")" + std::to_string(version) + R"("}})";
}

std::string List(int version, const std::string& items, const std::string& next = "") {
  return R"({"kind":"PodList","metadata":{"resourceVersion":")" + std::to_string(version) + R"(","continue":")" + next +
         R"("},"items":[)" + items + "]}";
}

std::string Event(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}";
}

bool IsWatch(const FakeRequest& request) { return request.Has("watch=true"); }

TEST_CASE("objects are listed, then watched from the list's version", "[reflector]") {
  FakeApiServer server([](const FakeRequest& request, Reply& reply) {
    if (!IsWatch(request)) return reply.Send(200, List(10, Object("a", 3) + "," + Object("b", 4)));
    reply.Begin();
    reply.Line(Event("ADDED", Object("c", 11)));
    reply.Line(Event("BOOKMARK", Object("", 12)));
    reply.Line(Event("MODIFIED", Object("c", 13)));
    reply.Line(Event("DELETED", Object("a", 14)));
    reply.WaitForClientToGo();
  });
  Recorder recorder;
  REQUIRE(recorder.Run(server, "fieldSelector=spec.nodeName%3Dn1", 4));
  CHECK(recorder.told == std::vector<std::string>{"replace:" + Object("a", 3) + ";" + Object("b", 4) + ";",
                                                  "changed:" + Object("c", 11), "changed:" + Object("c", 13),
                                                  "deleted:" + Object("a", 14)});
  const auto requests = server.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].target == "/api/v1/pods?limit=500&fieldSelector=spec.nodeName%3Dn1");
  CHECK(requests[1].Has("resourceVersion=10"));
  CHECK(requests[1].Has("allowWatchBookmarks=true"));
  CHECK(requests[1].Has("timeoutSeconds="));
  CHECK(requests[1].Has("fieldSelector=spec.nodeName%3Dn1"));
}

TEST_CASE("a list in pages is told as one", "[reflector]") {
  FakeApiServer server([](const FakeRequest& request, Reply& reply) {
    if (IsWatch(request)) return reply.WaitForClientToGo();
    if (request.Has("continue=next")) return reply.Send(200, List(10, Object("b", 4)));
    reply.Send(200, List(10, Object("a", 3), "next"));
  });
  Recorder recorder;
  REQUIRE(recorder.Run(server, "", 1));
  CHECK(recorder.told == std::vector<std::string>{"replace:" + Object("a", 3) + ";" + Object("b", 4) + ";"});
}

TEST_CASE("a watch that is cut goes on where it was, bookmarks included", "[reflector]") {
  std::atomic<int> watches{0};
  FakeApiServer server([&watches](const FakeRequest& request, Reply& reply) {
    if (!IsWatch(request)) return reply.Send(200, List(10, ""));
    const int watch = ++watches;
    reply.Begin();
    if (watch == 1) {
      reply.Line(Event("ADDED", Object("a", 11)));
      reply.Line(Event("BOOKMARK", Object("", 20)));
      reply.Raw("5");  // in the middle of a chunk's head
      reply.Close();
    } else if (watch == 2) {
      reply.End();  // the server's time is up
    } else {
      reply.Line(Event("MODIFIED", Object("a", 21)));
      reply.WaitForClientToGo();
    }
  });
  Recorder recorder;
  REQUIRE(recorder.Run(server, "", 3));
  CHECK(recorder.told.back() == "changed:" + Object("a", 21));
  int lists = 0;
  std::vector<std::string> versions;
  for (const auto& request : server.requests()) {
    if (!IsWatch(request)) ++lists;
    if (IsWatch(request)) versions.push_back(request.target.substr(request.target.find("resourceVersion=")));
  }
  CHECK(lists == 1);
  CHECK(versions == std::vector<std::string>{"resourceVersion=10", "resourceVersion=20", "resourceVersion=20"});
}

TEST_CASE("a version that is too old is answered by a new list", "[reflector]") {
  const bool as_event = GENERATE(true, false);
  std::atomic<int> watches{0};
  FakeApiServer server([&](const FakeRequest& request, Reply& reply) {
    if (!IsWatch(request)) return reply.Send(200, List(watches == 0 ? 10 : 50, Object("a", watches == 0 ? 3 : 40)));
    const std::string gone =
        R"({"kind":"Status","status":"Failure","message":"too old","reason":"Expired","code":410})";
    if (++watches > 1) return reply.WaitForClientToGo();
    if (!as_event) return reply.Send(410, gone);
    reply.Begin();
    reply.Line(Event("ERROR", gone));
    reply.WaitForClientToGo();
  });
  Recorder recorder;
  REQUIRE(recorder.Run(server, "", 2));
  CHECK(recorder.told ==
        std::vector<std::string>{"replace:" + Object("a", 3) + ";", "replace:" + Object("a", 40) + ";"});
}

TEST_CASE("a list that fails is tried again soon, and told", "[reflector]") {
  std::atomic<int> lists{0};
  FakeApiServer server([&lists](const FakeRequest& request, Reply& reply) {
    if (IsWatch(request)) return reply.WaitForClientToGo();
    const int list = ++lists;
    if (list == 1) return reply.Send(403, R"({"kind":"Status","reason":"Forbidden","message":"not yet","code":403})");
    if (list == 2) return reply.Send(200, "{\"items\":[");
    reply.Send(200, List(1, ""));
  });
  Recorder recorder;
  REQUIRE(recorder.Run(server, "", 1));
  REQUIRE(recorder.failures.size() == 2);
  CHECK(recorder.failures[0].code() == absl::StatusCode::kPermissionDenied);
  CHECK(recorder.told == std::vector<std::string>{"replace:"});
}

TEST_CASE("an event that cannot be read leads to a new list", "[reflector]") {
  std::atomic<int> watches{0};
  FakeApiServer server([&watches](const FakeRequest& request, Reply& reply) {
    if (!IsWatch(request)) return reply.Send(200, List(10, ""));
    if (++watches > 1) return reply.WaitForClientToGo();
    reply.Begin();
    reply.Line("garbage");
    reply.WaitForClientToGo();
  });
  Recorder recorder;
  CHECK(recorder.Run(server, "", 2));
  CHECK(recorder.told == std::vector<std::string>{"replace:", "replace:"});
}

}  // namespace
}  // namespace burstlet::kube::test
