#include "provider/standalone.h"

#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/catalog.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/admission.h"
#include "provider/cli/local_agent.h"
#include "provider/kubelet_api.h"
#include "provider/log_follower.h"
#include "provider/node_config.h"
#include "provider/node_status.h"
#include "provider/pod_file_source.h"
#include "provider/pod_runtime.h"
#include "sandbox/os/apparmor.h"

namespace burstlet::provider {
namespace {

constexpr std::chrono::milliseconds kServerGrace{500};

void Say(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

/// The files' own ConfigMaps and Secrets.
class FileObjects : public ObjectSource {
 public:
  explicit FileObjects(const PodFiles& files) : files_(files) {}

  kube::Task<absl::StatusOr<std::shared_ptr<const kube::ConfigMap>>> GetConfigMap(std::string name_space,
                                                                                  std::string name) override {
    const auto found = files_.config_maps.find(absl::StrCat(name_space, "/", name));
    if (found == files_.config_maps.end())
      co_return absl::NotFoundError(absl::StrCat("configmap \"", name, "\" not found"));
    co_return found->second;
  }

  kube::Task<absl::StatusOr<std::shared_ptr<const kube::Secret>>> GetSecret(std::string name_space,
                                                                            std::string name) override {
    const auto found = files_.secrets.find(absl::StrCat(name_space, "/", name));
    if (found == files_.secrets.end()) co_return absl::NotFoundError(absl::StrCat("secret \"", name, "\" not found"));
    co_return found->second;
  }

  kube::Task<absl::StatusOr<kube::TokenRequestStatus>> CreateToken(std::shared_ptr<const kube::Pod>, std::string,
                                                                   std::int64_t) override {
    co_return absl::UnimplementedError("service account tokens need an API server");
  }

 private:
  const PodFiles& files_;
};

/// Events as lines: warnings always, the others as they tell of progress.
class TerminalEvents : public kube::EventRecorder {
 public:
  void PodEvent(const kube::Pod& pod, const std::string& field_path, const std::string& type, const std::string& reason,
                const std::string& message) override {
    const std::size_t brace = field_path.find('{');
    const std::string container = brace == std::string::npos
                                      ? ""
                                      : absl::StrCat("/", field_path.substr(brace + 1, field_path.size() - brace - 2));
    Say(absl::StrCat(type == "Warning" ? "! " : "  ", pod.metadata.name, container, ": ", reason, ": ", message));
  }
  void NodeEvent(const std::string&, const std::string&, const std::string&) override {}
  kube::Task<void> Stop() override { co_return; }
};

/// Keeps the pods as an API server would, and tells of what changed.
class TerminalSink : public StatusSink {
 public:
  std::function<void(const kube::Pod& pod)> on_change;

  kube::Task<absl::StatusOr<kube::Pod>> Write(std::shared_ptr<const kube::Pod> pod, kube::PodStatus,
                                              kube::PodStatus next) override {
    kube::Pod stored = *pod;
    stored.status = std::move(next);
    const std::string before = phases_[stored.metadata.uid];
    if (before != stored.status.phase) {
      phases_[stored.metadata.uid] = stored.status.phase;
      Say(absl::StrCat("  ", stored.metadata.name, ": ", stored.status.phase,
                       stored.status.podIP.empty() ? "" : absl::StrCat(" (", stored.status.podIP, ")"),
                       stored.status.message.empty() ? "" : absl::StrCat(": ", stored.status.message)));
    }
    on_change(stored);
    co_return stored;
  }
  kube::Task<absl::Status> Delete(std::shared_ptr<const kube::Pod>) override { co_return absl::OkStatus(); }

 private:
  std::map<std::string, std::string> phases_;
};

/// The first failure's code; 1 where a pod failed without one.
int ExitCodeOf(const kube::Pod& pod) {
  if (pod.status.phase == "Succeeded") return 0;
  for (const auto* list : {&pod.status.initContainerStatuses, &pod.status.containerStatuses}) {
    for (const kube::ContainerStatus& status : *list) {
      if (status.state.terminated && status.state.terminated->exitCode != 0) return status.state.terminated->exitCode;
    }
  }
  return 1;
}

class Standalone {
 public:
  Standalone(Config config, PodFiles files) : config_(std::move(config)), files_(std::move(files)), objects_(files_) {}

  absl::StatusOr<int> Run();

 private:
  void PodChanged(const kube::Pod& pod);
  void FollowLogs(const kube::Pod& pod);
  void OnSignal();
  void WaitForSignal(boost::asio::signal_set& signals);

  Config config_;
  PodFiles files_;
  kube::Loop loop_;
  Metrics metrics_;
  FileObjects objects_;
  TerminalEvents events_;
  TerminalSink sink_;
  NodeInfo node_;
  std::unique_ptr<LogFollower> logs_;
  std::unique_ptr<PodRuntime> runtime_;
  std::map<std::string, int> outcomes_;  // by UID, of pods that have ended
  int signals_ = 0;
};

void Standalone::FollowLogs(const kube::Pod& pod) {
  PodWorker* worker = runtime_->workers().FindByUid(pod.metadata.uid);
  if (worker == nullptr) return;
  for (const auto& [name, view] : worker->view().containers) {
    for (const ContainerInstance& instance : view.instances) {
      logs_->Follow(runtime_->paths().ContainerLog(pod, name, instance.attempt),
                    absl::StrCat(pod.metadata.name, "/", name));
    }
  }
}

void Standalone::PodChanged(const kube::Pod& pod) {
  FollowLogs(pod);
  const bool ended = pod.status.phase == "Succeeded" || pod.status.phase == "Failed";
  if (!ended || outcomes_.contains(pod.metadata.uid)) return;
  logs_->Drain();
  outcomes_[pod.metadata.uid] = ExitCodeOf(pod);
  if (PodWorker* worker = runtime_->workers().FindByUid(pod.metadata.uid)) worker->Stop();
}

void Standalone::OnSignal() {
  if (++signals_ == 1) {
    Say("stopping (once more: at once)");
    runtime_->workers().StopAll();
    return;
  }
  for (PodWorker* worker : runtime_->workers().All())
    worker->Fail("Killed", "killed by the user", std::chrono::seconds(0));
}

void Standalone::WaitForSignal(boost::asio::signal_set& signals) {
  signals.async_wait([this, &signals](const boost::system::error_code& error, int) {
    if (error) return;
    OnSignal();
    WaitForSignal(signals);
  });
}

absl::StatusOr<int> Standalone::Run() {
  ASSIGN_OR_RETURN(node_, MeasureNode(MakeNodeStatusConfig(config_)));
  logs_ = NewLogFollower(loop_, [](const std::string& line, const std::string& stream) {
    std::FILE* out = stream == "stderr" ? stderr : stdout;
    std::fprintf(out, "%s\n", line.c_str());
    std::fflush(out);
  });
  sink_.on_change = [this](const kube::Pod& pod) { PodChanged(pod); };
  const auto admit = [this](const kube::Pod& pod, std::vector<std::shared_ptr<const kube::Pod>> active) {
    static const std::vector<kube::Taint> no_taints;
    AdmissionContext context{node_,
                             node_.labels,
                             no_taints,
                             std::move(active),
                             {""},
                             config_.allowed_unsafe_sysctls,
                             sandbox::AppArmorEnabled()};
    return Admit(pod, context);
  };
  ASSIGN_OR_RETURN(runtime_, PodRuntime::Open(config_, node_, {loop_, objects_, events_, sink_, metrics_, admit, {}}));
  runtime_->workers().OnDone([this] {
    if (runtime_->workers().empty()) loop_.Stop();
  });
  kube::KubeletServerConfig server_config;
  server_config.serve_network = false;
  server_config.local_socket = AgentSocket(config_.root_dir);
  ASSIGN_OR_RETURN(const auto server,
                   kube::KubeletServer::Start(
                       server_config, MakeKubeletHandlers(loop_, *runtime_, nullptr, metrics_, config_, node_)));
  boost::asio::signal_set signals(loop_.context(), SIGTERM, SIGINT);
  WaitForSignal(signals);
  // What a former run left behind is not in the files, and so it ends.
  loop_.Post([this] {
    std::vector<SourcePod> pods;
    for (const auto& pod : files_.pods) pods.push_back({pod, {}});
    runtime_->workers().Replace(std::move(pods));
  });
  loop_.Run();
  server->Stop(kServerGrace);
  int code = 0;
  for (const auto& pod : files_.pods) {
    const auto outcome = outcomes_.find(pod->metadata.uid);
    if (code == 0) code = outcome == outcomes_.end() ? 1 : outcome->second;
  }
  runtime_->CleanHost();
  return code;
}

}  // namespace

absl::StatusOr<int> RunStandalone(Config config, const std::vector<std::string>& files) {
  auto loaded = LoadPodFiles(files, config.node_name);
  if (!loaded.ok()) return loaded.status();
  Standalone standalone(std::move(config), *std::move(loaded));
  return standalone.Run();
}

}  // namespace burstlet::provider
