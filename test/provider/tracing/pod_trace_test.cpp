#include "provider/tracing/pod_trace.h"

#include <catch2/catch.hpp>

#include "provider/tracing/otlp.h"

namespace burstlet::provider {
namespace {

using std::chrono::milliseconds;

kube::Pod WebPod() {
  kube::Pod pod;
  pod.metadata.name = "web";
  pod.metadata.namespace_ = "shop";
  pod.metadata.uid = "0123";
  return pod;
}

std::vector<Span> Spans(const PodTimeline& timeline, PodTimeline::Clock::time_point now) {
  std::uint64_t next = 0;  // the first identifier would be all zeros
  return PodStartSpans(WebPod(), timeline, {now, 1'000'000'000'000}, [&next] { return next++; });
}

}  // namespace

TEST_CASE("a pod's start is one span with its stages below", "[tracing]") {
  const auto begin = PodTimeline::Clock::now();
  PodTimeline timeline;
  timeline.Stamp(PodStage::kObserved, begin);
  timeline.Stamp(PodStage::kVolumes, begin + milliseconds(2));
  timeline.Stamp(PodStage::kReady, begin + milliseconds(30));
  const std::vector<Span> spans = Spans(timeline, begin + milliseconds(40));
  REQUIRE(spans.size() == 3);
  CHECK(spans[0].name == "pod.start");
  CHECK(spans[0].end_unix_nanos == 1'000'000'000'000 - 10'000'000);
  CHECK(spans[0].end_unix_nanos - spans[0].start_unix_nanos == 30'000'000);
  CHECK(spans[1].name == "pod.start.volumes");
  CHECK(spans[1].start_unix_nanos == spans[0].start_unix_nanos);
  CHECK(spans[2].name == "pod.start.ready");
  CHECK(spans[2].start_unix_nanos == spans[1].end_unix_nanos);
  for (const Span& span : spans) {
    CHECK(span.trace == spans[0].trace);
    CHECK(span.id != SpanId{});
    CHECK(span.parent == (&span == &spans[0] ? SpanId{} : spans[0].id));
  }
}

TEST_CASE("a pod that was not seen from its beginning has no trace", "[tracing]") {
  PodTimeline timeline;
  CHECK(Spans(timeline, PodTimeline::Clock::now()).empty());
  timeline.Stamp(PodStage::kReady);
  CHECK(Spans(timeline, PodTimeline::Clock::now()).empty());
}

TEST_CASE("spans are written as OTLP's JSON", "[tracing]") {
  Span span;
  span.trace[0] = 0xab;
  span.id[7] = 1;
  span.name = "pod \"start\"";
  span.start_unix_nanos = 5;
  span.end_unix_nanos = 7;
  Span child = span;
  child.parent = span.id;
  child.attributes = {{"k", "v"}};
  CHECK(EncodeOtlp({{"service.name", "burstlet"}}, "1.0", {span, child}) ==
        R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"burstlet"}}]},)"
        R"("scopeSpans":[{"scope":{"name":"burstlet","version":"1.0"},"spans":[)"
        R"({"traceId":"ab000000000000000000000000000000","spanId":"0000000000000001","name":"pod \"start\"","kind":1,)"
        R"("startTimeUnixNano":"5","endTimeUnixNano":"7","attributes":[]},)"
        R"({"traceId":"ab000000000000000000000000000000","spanId":"0000000000000001",)"
        R"("parentSpanId":"0000000000000001","name":"pod \"start\"","kind":1,"startTimeUnixNano":"5",)"
        R"("endTimeUnixNano":"7","attributes":[{"key":"k","value":{"stringValue":"v"}}]}]}]}]})");
}

}  // namespace burstlet::provider
