#include "provider/metered_driver.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "metrics/status.h"

namespace burstlet::provider {
namespace {

using sandbox::ContainerSpec;
using sandbox::ContainerState;
using sandbox::Resources;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Runs one operation and writes down that, how long and how it went.
template <typename Fn>
auto Measure(Metrics& metrics, const char* operation, Fn fn) {
  const auto start = std::chrono::steady_clock::now();
  auto result = fn();
  const Labels labels{{"operation_type", operation}};
  metrics.Add(Series::kRuntimeOperations, labels);
  metrics.Observe(Series::kRuntimeOperationDuration, SecondsSince(start), labels);
  metrics.Add(Series::kRuntimeOperationErrors, labels, status_internal::ToStatus(result).ok() ? 0 : 1);
  return result;
}

class MeteredSandbox : public sandbox::Sandbox {
 public:
  MeteredSandbox(std::unique_ptr<sandbox::Sandbox> inner, Metrics& metrics)
      : inner_(std::move(inner)), metrics_(metrics) {}

  const std::string& id() const override { return inner_->id(); }
  const sandbox::SandboxNetwork& network() const override { return inner_->network(); }
  sandbox::UnixNanos created_at() const override { return inner_->created_at(); }
  int event_fd() const override { return inner_->event_fd(); }

  absl::StatusOr<ContainerState> Start(const ContainerSpec& spec) override {
    return Measure(metrics_, "start_container", [&] { return inner_->Start(spec); });
  }
  absl::Status Signal(const std::string& id, int signal) override {
    // That the program does not listen (yet) or has just ended is an answer, not a failure of the operation.
    absl::Status answer;
    Measure(metrics_, "stop_container", [&] {
      answer = inner_->Signal(id, signal);
      return absl::IsUnavailable(answer) || absl::IsNotFound(answer) ? absl::OkStatus() : answer;
    }).IgnoreError();
    return answer;
  }
  absl::Status Kill(const std::string& id) override {
    return Measure(metrics_, "kill_container", [&] { return inner_->Kill(id); });
  }
  absl::StatusOr<sandbox::ExecStreams> Exec(const std::string& id, const sandbox::ExecSpec& spec) override {
    return Measure(metrics_, "exec", [&] { return inner_->Exec(id, spec); });
  }
  absl::StatusOr<sandbox::ExecStreams> Attach(const std::string& id, bool want_stdin) override {
    return Measure(metrics_, "attach", [&] { return inner_->Attach(id, want_stdin); });
  }
  absl::Status UpdateResources(const std::string& id, const Resources& resources) override {
    return Measure(metrics_, "update_container", [&] { return inner_->UpdateResources(id, resources); });
  }
  absl::Status UpdatePodResources(const Resources& resources) override {
    return Measure(metrics_, "update_podsandbox", [&] { return inner_->UpdatePodResources(resources); });
  }
  absl::Status ReopenLog(const std::string& id) override {
    return Measure(metrics_, "reopen_container_log", [&] { return inner_->ReopenLog(id); });
  }
  absl::Status RemoveContainer(const std::string& id) override {
    return Measure(metrics_, "remove_container", [&] { return inner_->RemoveContainer(id); });
  }
  // One scrape asks all sandboxes: the scrape counts as one operation (stats/collector), as the kubelet's list does.
  absl::StatusOr<sandbox::SandboxStats> Stats(sandbox::StatsDetail detail) override { return inner_->Stats(detail); }
  absl::StatusOr<int> OpenVolume(const std::string& name) override { return inner_->OpenVolume(name); }
  absl::StatusOr<int> NetworkNamespace() override { return inner_->NetworkNamespace(); }
  absl::StatusOr<std::vector<ContainerState>> ReadEvents() override {
    const auto start = std::chrono::steady_clock::now();
    auto events = inner_->ReadEvents();
    metrics_.Observe(Series::kPlegRelistDuration, SecondsSince(start));
    return events;
  }
  absl::StatusOr<std::vector<ContainerState>> Containers() override { return inner_->Containers(); }
  absl::Status Remove() override {
    return Measure(metrics_, "remove_podsandbox", [&] { return inner_->Remove(); });
  }

 private:
  std::unique_ptr<sandbox::Sandbox> inner_;
  Metrics& metrics_;
};

class MeteredDriver : public sandbox::SandboxDriver {
 public:
  MeteredDriver(std::unique_ptr<sandbox::SandboxDriver> inner, Metrics& metrics)
      : inner_(std::move(inner)), metrics_(metrics) {}

  absl::StatusOr<std::unique_ptr<sandbox::Sandbox>> Create(const sandbox::SandboxSpec& spec) override {
    auto created = Measure(metrics_, "run_podsandbox", [&] { return inner_->Create(spec); });
    if (!created.ok()) return created.status();
    return std::make_unique<MeteredSandbox>(*std::move(created), metrics_);
  }

  absl::StatusOr<std::vector<sandbox::RecoveredSandbox>> Recover() override {
    ASSIGN_OR_RETURN(std::vector<sandbox::RecoveredSandbox> found, inner_->Recover());
    for (sandbox::RecoveredSandbox& entry : found) {
      if (entry.sandbox != nullptr)
        entry.sandbox = std::make_unique<MeteredSandbox>(std::move(entry.sandbox), metrics_);
    }
    return found;
  }

  absl::StatusOr<sandbox::ContainerStats> TotalUsage(sandbox::StatsDetail detail) override {
    return inner_->TotalUsage(detail);
  }

 private:
  std::unique_ptr<sandbox::SandboxDriver> inner_;
  Metrics& metrics_;
};

}  // namespace

std::unique_ptr<sandbox::SandboxDriver> Metered(std::unique_ptr<sandbox::SandboxDriver> driver, Metrics& metrics) {
  return std::make_unique<MeteredDriver>(std::move(driver), metrics);
}

}  // namespace burstlet::provider
