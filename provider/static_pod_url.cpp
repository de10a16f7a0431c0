#include "provider/static_pod_url.h"

#include <atomic>
#include <optional>

#include "absl/strings/str_cat.h"
#include "cache/http_transport.h"
#include "kube/async/offload.h"
#include "kube/async/signal_event.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/static_pod.h"
#include "provider/yaml.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kMaxBytes = 10u << 20;
constexpr int kMostRedirects = 10;
constexpr unsigned kToldFailures = 3;

/// The answer's text. Redirects are followed; to another host without the headers, which may be secret.
absl::StatusOr<std::string> Get(const StaticPodUrl& from, const std::atomic<bool>& cancelled) {
  cache::HttpOptions options;
  options.connect_timeout = options.idle_timeout = from.time_limit;
  options.proxy = from.proxy;
  cache::HttpTransport transport(std::move(options));
  cache::HttpRequest request;
  request.headers = from.headers;
  ASSIGN_OR_RETURN(request.url, cache::ParseUrl(from.url));
  for (int redirects = 0; redirects <= kMostRedirects; ++redirects) {
    ASSIGN_OR_RETURN(const std::unique_ptr<cache::HttpResponse> response, transport.Send(request, &cancelled));
    const std::string location = response->Header("Location");
    if (response->status() / 100 == 3 && !location.empty()) {
      ASSIGN_OR_RETURN(cache::Url next, cache::ResolveUrl(request.url, location));
      if (!next.SameOrigin(request.url)) request.headers.clear();
      request.url = std::move(next);
      continue;
    }
    if (response->status() != 200) {
      return absl::UnavailableError(absl::StrCat(from.url, ": status ", response->status()));
    }
    return cache::ReadAll(*response, kMaxBytes);
  }
  return absl::UnavailableError(absl::StrCat(from.url, ": more than ", kMostRedirects, " redirects"));
}

/// Items of a typed list need not say again what they are.
YamlNode Typed(YamlNode item) {
  const auto add = [&item](const char* key, const char* value) {
    if (item.Find(key) != nullptr) return;
    YamlField field;
    field.key = key;
    field.value.kind = YamlNode::Kind::kString;
    field.value.scalar = value;
    item.fields.push_back(std::move(field));
  };
  add("kind", "Pod");
  add("apiVersion", "v1");
  return item;
}

class UrlWatch : public StaticPodSource {
 public:
  UrlWatch(kube::Loop& loop, kube::TaskGroup& tasks, StaticPodUrl from, std::string node_name)
      : state_(std::make_shared<State>(loop, std::move(from), std::move(node_name))), tasks_(tasks) {}
  ~UrlWatch() override { UrlWatch::Stop(); }

  void OnChange(std::function<void(StaticPodList)> callback) override { state_->on_change = std::move(callback); }
  void Start() override { tasks_.Spawn("static pods of a URL", Run(state_)); }
  void Stop() override {
    *state_->stopped = true;
    state_->wake.Set();
  }

 private:
  struct State {
    State(kube::Loop& l, StaticPodUrl f, std::string node)
        : loop(l), from(std::move(f)), node_name(std::move(node)), wake(l) {}
    kube::Loop& loop;
    const StaticPodUrl from;
    const std::string node_name;
    kube::WorkerPool pool{1};
    std::function<void(StaticPodList)> on_change;
    kube::SignalEvent wake;
    std::optional<std::string> known;  // the text that was read last
    unsigned failures = 0;
    const std::shared_ptr<std::atomic<bool>> stopped = std::make_shared<std::atomic<bool>>(false);
  };
  using StatePtr = std::shared_ptr<State>;

  static kube::Task<void> Run(StatePtr state) {
    while (!*state->stopped) {
      // Without the state: its pool must not end on its own thread.
      auto work = [from = state->from, stopped = state->stopped] { return Get(from, *stopped); };
      const absl::StatusOr<std::string> text = co_await kube::Offload(state->loop, state->pool, std::move(work));
      if (*state->stopped) co_return;
      Told(*state, text.ok() ? Take(*state, *text) : text.status());
      co_await state->wake.WaitUntil(std::chrono::steady_clock::now() + state->from.check_frequency);
    }
  }

  static absl::Status Take(State& state, const std::string& text) {
    if (state.known == text) return absl::OkStatus();
    StaticPodList pods;
    if (!text.empty()) {
      state.known = text;
      const auto now = std::chrono::system_clock::now().time_since_epoch();
      ASSIGN_OR_RETURN(pods, ParseStaticPods(state.from.url, text, state.node_name,
                                             std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()));
    } else if (!state.known || !state.known->empty()) {
      state.known = text;
      Warn("The URL of static pods has none", {{"url", state.from.url}});
    }
    if (state.on_change) state.on_change(std::move(pods));
    return absl::OkStatus();
  }

  /// A few failures tell all; the rest would fill the log.
  static void Told(State& state, const absl::Status& status) {
    if (status.ok()) {
      if (std::exchange(state.failures, 0) > 0) Info("Static pods read from their URL", {{"url", state.from.url}});
      return;
    }
    if (++state.failures > kToldFailures) return;
    Warn("Static pods not read from their URL",
         {{"err", std::string(status.message())}, {"last", state.failures == kToldFailures}});
  }

  const StatePtr state_;
  kube::TaskGroup& tasks_;
};

}  // namespace

absl::StatusOr<StaticPodList> ParseStaticPods(const std::string& url, const std::string& text,
                                              const std::string& node_name, std::int64_t seen) {
  const StaticOrigin origin{StaticOrigin::Kind::kUrl, url};
  ASSIGN_OR_RETURN(const std::vector<YamlNode> documents, ParseYaml(text));
  if (documents.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(url, ": one Pod or list of them is expected, there are ", documents.size(), " documents"));
  }
  const YamlNode& document = documents.front();
  const YamlNode* kind = document.Find("kind");
  const bool list = kind != nullptr && (kind->scalar == "PodList" || kind->scalar == "List");
  const YamlNode* items = list ? document.Find("items") : nullptr;
  StaticPodList pods;
  if (!list) {
    auto pod = DecodeStaticPod(document, origin, node_name, seen);
    if (!pod.ok()) return Annotate(pod.status(), url);
    pods.push_back(std::make_shared<const kube::Pod>(*std::move(pod)));
  }
  if (items == nullptr) return pods;
  for (std::size_t i = 0; i < items->items.size(); ++i) {
    const YamlNode& item = items->items[i];
    auto pod = DecodeStaticPod(kind->scalar == "PodList" ? Typed(item) : item, origin, node_name, seen);
    if (!pod.ok()) return Annotate(pod.status(), absl::StrCat(url, ": items[", i, "]"));
    for (const auto& other : pods) {
      if (kube::ObjectName(other->metadata) != kube::ObjectName(pod->metadata)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(url, ": items[", i, "].metadata.name: ", pod->metadata.name, " is there twice"));
    }
    pods.push_back(std::make_shared<const kube::Pod>(*std::move(pod)));
  }
  return pods;
}

std::unique_ptr<StaticPodSource> NewStaticPodUrl(kube::Loop& loop, kube::TaskGroup& tasks, StaticPodUrl from,
                                                 const std::string& node_name) {
  return std::make_unique<UrlWatch>(loop, tasks, std::move(from), node_name);
}

}  // namespace burstlet::provider
