#include "provider/tracing/trace_exporter.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "metrics/version.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kMaxQueued = 8192;
constexpr std::size_t kBatch = 512;
constexpr int kTries = 3;
constexpr std::chrono::milliseconds kTimeout{10'000};
constexpr std::chrono::seconds kGather{1};  // a burst of pods becomes a few requests
constexpr std::chrono::seconds kBackoff{2};

}  // namespace

absl::StatusOr<std::unique_ptr<TraceExporter>> TraceExporter::Open(kube::Loop& loop, kube::TaskGroup& tasks,
                                                                   const TracingConfig& config,
                                                                   const std::string& node_name) {
  kube::ClientConfig collector;
  collector.server = config.endpoint;
  ASSIGN_OR_RETURN(auto client, kube::NewClient(loop, std::move(collector)));
  auto exporter = std::make_unique<TraceExporter>(loop, std::move(client), config.sampling_rate_per_million, node_name);
  tasks.Spawn("traces", exporter->Run());
  return exporter;
}

TraceExporter::TraceExporter(kube::Loop& loop, std::unique_ptr<kube::Client> client, std::int64_t rate,
                             std::string node_name)
    : loop_(loop),
      client_(std::move(client)),
      rate_(rate),
      resource_{{"service.name", "burstlet"}, {"service.version", kVersion}, {"k8s.node.name", std::move(node_name)}},
      wake_(loop) {}

void TraceExporter::PodStarted(const kube::Pod& pod, const PodTimeline& timeline) {
  if (static_cast<std::int64_t>(random_() % 1'000'000) >= rate_) return;
  ClockPair now;
  now.steady = PodTimeline::Clock::now();
  now.unix_nanos =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::vector<Span> spans = PodStartSpans(pod, timeline, now, [this] { return random_(); });
  if (queue_.size() + spans.size() > kMaxQueued) {
    dropped_ += spans.size();
    return;
  }
  for (Span& span : spans) queue_.push_back(std::move(span));
  wake_.Set();
}

kube::Task<void> TraceExporter::Run() {
  for (;;) {
    if (queue_.empty()) {
      co_await wake_.Wait();
      co_await kube::SleepUntil(loop_, std::chrono::steady_clock::now() + kGather);
    }
    const std::size_t count = std::min(kBatch, queue_.size());
    const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(count);
    const std::vector<Span> batch(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
    queue_.erase(queue_.begin(), end);
    const absl::Status sent = co_await Send(EncodeOtlp(resource_, kVersion, batch));
    if (!sent.ok()) dropped_ += count;
    if (dropped_ > 0) Warn("Trace spans dropped", {{"spans", dropped_}, {"err", sent.ToString()}});
    dropped_ = 0;
  }
}

kube::Task<absl::Status> TraceExporter::Send(std::string body) {
  absl::Status status;
  for (int i = 0; i < kTries; ++i) {
    const auto answer = co_await client_->Do("POST", "/v1/traces", "application/json", body, kTimeout);
    status = answer.status();
    // A collector that refuses the content will refuse it again.
    if (status.ok() || absl::IsInvalidArgument(status)) co_return status;
    co_await kube::SleepUntil(loop_, std::chrono::steady_clock::now() + kBackoff);
  }
  co_return status;
}

}  // namespace burstlet::provider
