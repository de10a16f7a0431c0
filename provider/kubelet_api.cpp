#include "provider/kubelet_api.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/json.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/agent_metrics.h"
#include "provider/cli/tables.h"
#include "provider/node_logs.h"
#include "provider/run_command.h"
#include "provider/stats/cadvisor_metrics.h"
#include "provider/stats/collector.h"
#include "provider/stats/resource_metrics.h"
#include "provider/stats/summary.h"
#include "sandbox/net/netns.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

using kube::ContainerRef;
using kube::Reply;

/// What all handlers share.
struct Api {
  kube::Loop& loop;
  PodRuntime& runtime;
  kube::Client* client;
  Metrics& metrics;
  StatsCollector stats;
  kube::WorkerPool commands{2};  // of /run: others wait for their turn
};

absl::StatusOr<PodWorker*> FindPod(Api& api, const ContainerRef& ref) {
  PodWorker* worker = ref.uid.empty() ? api.runtime.workers().FindByName(ref.name_space, ref.pod)
                                      : api.runtime.workers().FindByUid(ref.uid);
  const bool match = worker != nullptr && worker->pod()->metadata.namespace_ == ref.name_space &&
                     worker->pod()->metadata.name == ref.pod;
  if (!match) return absl::NotFoundError(absl::StrCat("pod \"", ref.pod, "\" not found"));
  return worker;
}

kube::Pod WithStatus(Api& api, const PodWorker& worker) {
  kube::Pod pod = *worker.desired();
  if (auto status = api.runtime.statuses().Get(pod.metadata.uid)) pod.status = *std::move(status);
  return pod;
}

/// Runs `fn` on the loop and waits: for the few handlers that answer at once.
std::string OnLoop(kube::Loop& loop, std::function<std::string()> fn) {
  auto promise = std::make_shared<std::promise<std::string>>();
  auto future = promise->get_future();
  loop.Post([promise, fn = std::move(fn)] { promise->set_value(fn()); });
  if (future.wait_for(std::chrono::seconds(10)) != std::future_status::ready) return "";
  return future.get();
}

std::string PodList(Api& api, bool running_only) {
  std::string items;
  for (PodWorker* worker : api.runtime.workers().All()) {
    if (running_only && worker->sandbox() == nullptr) continue;
    absl::StrAppend(&items, items.empty() ? "" : ",", kube::Encode(WithStatus(api, *worker)));
  }
  return absl::StrCat("{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[", items, "]}\n");
}

std::string Starts(Api& api) {
  StartTimelines starts;
  for (PodWorker* worker : api.runtime.workers().All()) {
    for (const auto& [stage, seconds] : worker->timeline().Durations()) {
      starts[worker->pod()->metadata.uid].emplace_back(PodStageName(stage), seconds * 1000);
    }
  }
  return TimelinesJson(starts);
}

void ContainerLogs(Api& api, const ContainerRef& ref, const kube::LogOptions& options,
                   const Reply<kube::LogSource>& reply) {
  const auto worker = FindPod(api, ref);
  if (!worker.ok()) return reply(worker.status());
  auto path = (*worker)->LogPath(ref.container, options.previous);
  if (!path.ok()) return reply(path.status());
  // Finished once this run has ended: the id tells it from a later one.
  const ContainerInstance& instance = **(*worker)->LogRun(ref.container, options.previous);
  auto ended = std::make_shared<std::atomic<bool>>(instance.phase == ContainerInstance::Phase::kExited);
  kube::LogSource source;
  source.path = *std::move(path);
  const std::string id = instance.id;
  const std::string uid = (*worker)->pod()->metadata.uid;
  Api* shared = &api;
  source.finished = [shared, ended, id, uid, name = ref.container] {
    if (*ended) return true;
    shared->loop.Post([shared, ended, id, uid, name] {
      PodWorker* now = shared->runtime.workers().FindByUid(uid);
      bool running = false;
      if (now != nullptr) {
        const auto view = now->view().containers.find(name);
        running = view != now->view().containers.end() && !view->second.instances.empty() &&
                  view->second.instances.front().id == id && IsRunning(view->second);
      }
      if (!running) *ended = true;
    });
    return false;
  };
  reply(std::move(source));
}

void StartStreams(Api& api, const kube::ExecRequest& request, bool attach, const Reply<kube::ExecSession>& reply) {
  const auto worker = FindPod(api, request.container);
  if (!worker.ok()) return reply(worker.status());
  auto id = (*worker)->RunningContainer(request.container.container);
  if (!id.ok()) return reply(id.status());
  auto handle = (*worker)->sandbox();
  if (handle == nullptr) return reply(absl::FailedPreconditionError("the pod's sandbox is not running"));
  sandbox::ExecSpec spec;
  spec.args = request.command;
  spec.tty = request.tty;
  spec.want_stdin = request.want_stdin;
  spec.want_stdout = request.want_stdout;
  spec.want_stderr = request.want_stderr;
  api.runtime.pool().Submit([handle, id = *id, spec = std::move(spec), attach, reply] {
    auto streams = handle->With([&](sandbox::Sandbox& sandbox) {
      return attach ? sandbox.Attach(id, spec.want_stdin) : sandbox.Exec(id, spec);
    });
    if (!streams.ok()) return reply(streams.status());
    kube::ExecSession session;
    session.stdin_fd = streams->stdin_fd;
    session.stdout_fd = streams->stdout_fd;
    session.stderr_fd = streams->stderr_fd;
    session.master_fd = streams->master_fd;
    session.exit_fd = streams->exit_fd;
    reply(std::move(session));
  });
}

/// A connection to the port as a process of the pod would make it: 127.0.0.1 first, then ::1.
absl::StatusOr<int> ConnectInside(int netns_fd, std::uint16_t port) {
  absl::StatusOr<int> connected = absl::UnknownError("");
  const auto work = [&] {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_addr = in6addr_loopback;
    const std::array<std::pair<const sockaddr*, socklen_t>, 2> targets{
        {{reinterpret_cast<const sockaddr*>(&v4), sizeof(v4)}, {reinterpret_cast<const sockaddr*>(&v6), sizeof(v6)}}};
    for (const auto& [address, size] : targets) {
      sandbox::UniqueFd fd(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
      // A full backlog must not hold a thread that pods need.
      const timeval limit{2, 0};
      setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
      if (fd.valid() && connect(fd.get(), address, size) == 0) {
        const timeval none{};
        setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
        connected = fd.Release();
        return absl::OkStatus();
      }
      const absl::Status error = ErrnoError(errno, absl::StrCat("connecting to port ", port, " in the pod"));
      if (address->sa_family == AF_INET) connected = absl::InternalError(error.message());
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(sandbox::RunInNetworkNamespace(netns_fd, work));
  return connected;
}

void PortForward(Api& api, const ContainerRef& ref, std::uint16_t port, const Reply<int>& reply) {
  const auto worker = FindPod(api, ref);
  if (!worker.ok()) return reply(worker.status());
  auto handle = (*worker)->sandbox();
  if (handle == nullptr) return reply(absl::FailedPreconditionError("the pod's sandbox is not running"));
  api.runtime.pool().Submit([handle, port, reply] {
    auto netns = handle->With([](sandbox::Sandbox& sandbox) { return sandbox.NetworkNamespace(); });
    if (!netns.ok()) return reply(netns.status());
    const sandbox::UniqueFd fd(*netns);
    reply(ConnectInside(fd.get(), port));
  });
}

void Run(Api& api, const ContainerRef& ref, std::vector<std::string> command, const Reply<std::string>& reply) {
  const auto worker = FindPod(api, ref);
  if (!worker.ok()) return reply(absl::NotFoundError("pod does not exist"));
  auto id = (*worker)->RunningContainer(ref.container);
  if (!id.ok()) return reply(id.status());
  api.commands.Submit([sandbox = (*worker)->sandbox(), id = *std::move(id), command = std::move(command), reply] {
    if (sandbox == nullptr) return reply(absl::FailedPreconditionError("the pod's sandbox is not running"));
    reply(RunCommand(sandbox, id, command));
  });
}

kube::Task<void> ReviewToken(kube::Client* client, std::string token, Reply<kube::TokenReviewStatus> reply) {
  kube::TokenReview review;
  review.apiVersion = "authentication.k8s.io/v1";
  review.kind = "TokenReview";
  review.spec.token = std::move(token);
  auto answer = co_await client->ReviewToken(std::move(review));
  if (answer.ok()) {
    reply(answer->status);
  } else {
    reply(answer.status());
  }
}

kube::Task<void> ReviewAccess(kube::Client* client, kube::SubjectAccessReviewSpec spec,
                              Reply<kube::SubjectAccessReviewStatus> reply) {
  kube::SubjectAccessReview review;
  review.apiVersion = "authorization.k8s.io/v1";
  review.kind = "SubjectAccessReview";
  review.spec = std::move(spec);
  auto answer = co_await client->ReviewAccess(std::move(review));
  if (answer.ok()) {
    reply(answer->status);
  } else {
    reply(answer.status());
  }
}

}  // namespace

kube::KubeletHandlers MakeKubeletHandlers(kube::Loop& loop, PodRuntime& runtime, kube::Client* client, Metrics& metrics,
                                          const Config& config, const NodeInfo& node) {
  auto api = std::shared_ptr<Api>(new Api{loop, runtime, client, metrics, {loop, runtime, node, metrics}});
  kube::KubeletHandlers handlers;
  handlers.pods_json = [api] { return OnLoop(api->loop, [api] { return PodList(*api, false); }); };
  handlers.running_pods_json = [api] { return OnLoop(api->loop, [api] { return PodList(*api, true); }); };
  handlers.metrics = [api](Reply<std::string> reply) {
    api->loop.Post([api, reply = std::move(reply)] {
      reply(AgentMetricsText(api->metrics, api->runtime.workers(), [&] { return api->stats.Disks(); }));
    });
  };
  // Texts of hundreds of kilobytes are made on the pool thread that read the counters.
  handlers.metrics_resource = [api](Reply<std::string> reply) {
    api->loop.Post([api, reply = std::move(reply)] {
      api->stats.Collect({sandbox::StatsDetail::kUsage},
                         [reply](const StatsSample& sample) { reply(ResourceMetricsText(sample)); });
    });
  };
  handlers.metrics_cadvisor = [api](Reply<std::string> reply) {
    api->loop.Post([api, reply = std::move(reply)] {
      api->stats.Collect({sandbox::StatsDetail::kAll, false, true}, [api, reply](const StatsSample& sample) {
        reply(CadvisorMetricsText(sample, api->stats.machine()));
      });
    });
  };
  handlers.stats_summary = [api](bool only_cpu_and_memory, Reply<std::string> reply) {
    api->loop.Post([api, only_cpu_and_memory, reply = std::move(reply)] {
      const StatsWanted wanted{sandbox::StatsDetail::kSummary, true, !only_cpu_and_memory};
      api->stats.Collect(wanted, [only_cpu_and_memory, reply](const StatsSample& sample) {
        reply(SummaryJson(sample, only_cpu_and_memory));
      });
    });
  };
  handlers.metrics_probes = [api](Reply<std::string> reply) {
    api->loop.Post([api, reply = std::move(reply)] { reply(api->runtime.probe_metrics().Text(ProcessStartTime())); });
  };
  handlers.run = [api](ContainerRef ref, std::vector<std::string> command, Reply<std::string> reply) {
    api->loop.Post([api, ref = std::move(ref), command = std::move(command), reply = std::move(reply)] {
      Run(*api, ref, command, reply);
    });
  };
  handlers.flags = config.flags;
  handlers.begun = [api](const std::string& method, const std::string& path, bool long_running) {
    return MeterRequest(api->metrics, method, path, long_running);
  };
  handlers.configz_json = [text = ConfigJson(config)] { return text; };
  handlers.healthz = [api] {
    // The loop answers, so the loop runs: that is the health of the sync loop.
    const std::string alive = OnLoop(api->loop, [] { return std::string("ok"); });
    return alive == "ok" ? absl::OkStatus() : absl::UnavailableError("the sync loop does not answer");
  };
  handlers.container_logs = [api](ContainerRef ref, kube::LogOptions options, Reply<kube::LogSource> reply) {
    api->loop.Post(
        [api, ref = std::move(ref), options, reply = std::move(reply)] { ContainerLogs(*api, ref, options, reply); });
  };
  handlers.starts_json = [api] { return OnLoop(api->loop, [api] { return Starts(*api); }); };
  if (config.enable_system_log_handler) handlers.node_logs = MakeNodeLogs();
  handlers.exec = [api](kube::ExecRequest request, Reply<kube::ExecSession> reply) {
    api->loop.Post(
        [api, request = std::move(request), reply = std::move(reply)] { StartStreams(*api, request, false, reply); });
  };
  handlers.attach = [api](kube::ExecRequest request, Reply<kube::ExecSession> reply) {
    api->loop.Post(
        [api, request = std::move(request), reply = std::move(reply)] { StartStreams(*api, request, true, reply); });
  };
  handlers.port_forward = [api](ContainerRef ref, std::uint16_t port, Reply<int> reply) {
    api->loop.Post(
        [api, ref = std::move(ref), port, reply = std::move(reply)] { PortForward(*api, ref, port, reply); });
  };
  if (client == nullptr) return handlers;
  handlers.review_token = [api](std::string token, Reply<kube::TokenReviewStatus> reply) {
    api->loop.Post([api, token = std::move(token), reply = std::move(reply)] {
      api->runtime.tasks().Spawn("token review", ReviewToken(api->client, token, reply));
    });
  };
  handlers.review_access = [api](kube::SubjectAccessReviewSpec spec, Reply<kube::SubjectAccessReviewStatus> reply) {
    api->loop.Post([api, spec = std::move(spec), reply = std::move(reply)] {
      api->runtime.tasks().Spawn("access review", ReviewAccess(api->client, spec, reply));
    });
  };
  return handlers;
}

}  // namespace burstlet::provider
