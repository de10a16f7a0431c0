// Events: what is sent, what counts up, what is combined or muted, and what a refusal does.
#include "kube/event_recorder.h"

#include <catch2/catch.hpp>

#include "kube/event_correlator.h"
#include "kube/json.h"
#include "test/kube/fakes/loop_runner.h"
#include "test/kube/fakes/scripted_client.h"

namespace burstlet::kube::test {
namespace {

Event MakeEvent(const std::string& reason, const std::string& message, const std::string& object = "web") {
  Event event;
  event.involvedObject.kind = "Pod";
  event.involvedObject.name = object;
  event.reason = reason;
  event.message = message;
  event.count = 1;
  return event;
}

TEST_CASE("the same event counts up under its first name", "[events]") {
  EventCorrelator correlator;
  const EventCorrelator::Time now{};
  const auto first = correlator.Correlate(MakeEvent("Pulled", "m"), now);
  REQUIRE(first);
  CHECK(first->existing_name.empty());
  correlator.Remember(first->key, "web.1");
  const auto second = correlator.Correlate(MakeEvent("Pulled", "m"), now);
  REQUIRE(second);
  CHECK(second->existing_name == "web.1");
  CHECK(second->event.count == 2);
  CHECK(correlator.Correlate(MakeEvent("Pulled", "other"), now)->existing_name.empty());
  CHECK(correlator.Correlate(MakeEvent("Pulled", "m", "db"), now)->event.count == 1);
}

TEST_CASE("many similar events become one", "[events]") {
  EventCorrelator correlator;
  const EventCorrelator::Time now{};
  for (int i = 0; i < 10; ++i) {
    const auto event = correlator.Correlate(MakeEvent("Unhealthy", "probe " + std::to_string(i)), now);
    REQUIRE(event);
    CHECK(event->event.message == "probe " + std::to_string(i));
  }
  const auto combined = correlator.Correlate(MakeEvent("Unhealthy", "probe x"), now);
  REQUIRE(combined);
  CHECK(combined->event.message == "(combined from similar events): probe x");
  correlator.Remember(combined->key, "web.11");
  CHECK(correlator.Correlate(MakeEvent("Unhealthy", "probe y"), now)->existing_name == "web.11");
  const auto later = correlator.Correlate(MakeEvent("Unhealthy", "probe z"), now + std::chrono::minutes(20));
  REQUIRE(later);
  CHECK(later->event.message == "probe z");
}

TEST_CASE("an object that talks too much is muted, others are not", "[events]") {
  EventCorrelator correlator;
  EventCorrelator::Time now{};
  int sent = 0;
  for (int i = 0; i < 100; ++i) sent += correlator.Correlate(MakeEvent("R" + std::to_string(i), "m"), now) ? 1 : 0;
  CHECK(sent == 25);
  CHECK(correlator.Correlate(MakeEvent("R", "m", "db"), now));
  now += std::chrono::seconds(301);
  CHECK(correlator.Correlate(MakeEvent("Late", "m"), now));
  CHECK_FALSE(correlator.Correlate(MakeEvent("Late", "m"), now));
}

struct Fixture {
  Loop loop;
  std::function<absl::StatusOr<Response>(const ScriptedRequest&)> script = [](const ScriptedRequest& request) {
    return Response{200, request.method == "POST" ? request.body : "{}"};
  };
  ScriptedClient client{loop, [this](const ScriptedRequest& request) { return script(request); }};
  std::unique_ptr<EventRecorder> recorder = NewEventRecorder(client, loop, "n1");
  Pod pod;
  bool stopped = false;

  Fixture() {
    pod.metadata.name = "web";
    pod.metadata.namespace_ = "default";
    pod.metadata.uid = "u-1";
  }
  ~Fixture() { Stop(); }
  void Stop() {
    if (!stopped) stopped = RunTask(loop, recorder->Stop());
  }
  void Send(std::size_t requests) {
    REQUIRE(RunTask(loop, Until(loop, [this, requests] { return client.requests.size() >= requests; })));
  }
};

TEST_CASE("a pod's event is what the kubelet would write", "[events]") {
  Fixture f;
  f.recorder->PodEvent(f.pod, "spec.containers{c}", "Normal", "Started", "Container started");
  f.Send(1);
  CHECK(f.client.requests[0].method == "POST");
  CHECK(f.client.requests[0].path == "/api/v1/namespaces/default/events");
  const auto event = Decode<Event>(f.client.requests[0].body);
  REQUIRE(event.ok());
  CHECK(event->metadata.name.rfind("web.", 0) == 0);
  CHECK(event->involvedObject.uid == "u-1");
  CHECK(event->involvedObject.fieldPath == "spec.containers{c}");
  CHECK(event->source.component == "kubelet");
  CHECK(event->source.host == "n1");
  CHECK(event->reportingComponent == "kubelet");
  CHECK(event->reportingInstance == "n1");
  CHECK(event->count == 1);
  CHECK(event->firstTimestamp);
}

TEST_CASE("a repeat patches the count, and a lost one is created anew", "[events]") {
  Fixture f;
  f.recorder->NodeEvent("Normal", "NodeReady", "ready");
  f.recorder->NodeEvent("Normal", "NodeReady", "ready");
  f.Send(2);
  CHECK(f.client.requests[0].path == "/api/v1/namespaces/default/events");
  CHECK(f.client.requests[1].method == "PATCH");
  CHECK(f.client.requests[1].path.rfind("/api/v1/namespaces/default/events/n1.", 0) == 0);
  CHECK(f.client.requests[1].body.rfind(R"({"count":2,"lastTimestamp":")", 0) == 0);
  f.script = [](const ScriptedRequest& request) -> absl::StatusOr<Response> {
    return Response{request.method == "PATCH" ? 404 : 200, "{}"};
  };
  f.recorder->NodeEvent("Normal", "NodeReady", "ready");
  f.Send(4);
  CHECK(f.client.requests[3].method == "POST");
  CHECK(Decode<Event>(f.client.requests[3].body)->count == 3);
}

TEST_CASE("a refused event is dropped, a lost connection is tried again", "[events]") {
  Fixture f;
  int calls = 0;
  f.script = [&calls](const ScriptedRequest&) -> absl::StatusOr<Response> {
    if (++calls == 1) return Response{403, R"({"kind":"Status","reason":"Forbidden","message":"no","code":403})"};
    if (calls == 2) return absl::UnavailableError("no connection");
    return Response{201, "{}"};
  };
  f.recorder->PodEvent(f.pod, "", "Normal", "A", "a");
  f.recorder->PodEvent(f.pod, "", "Normal", "B", "b");
  f.Send(3);
  CHECK(f.client.requests[1].body == f.client.requests[2].body);
  CHECK(Decode<Event>(f.client.requests[2].body)->reason == "B");
}

TEST_CASE("stopping sends what is queued", "[events]") {
  Fixture f;
  for (int i = 0; i < 5; ++i) f.recorder->PodEvent(f.pod, "", "Normal", "R" + std::to_string(i), "m");
  f.Stop();
  CHECK(f.client.requests.size() == 5);
  f.recorder->PodEvent(f.pod, "", "Normal", "Late", "m");
  CHECK(f.client.requests.size() == 5);
}

}  // namespace
}  // namespace burstlet::kube::test
