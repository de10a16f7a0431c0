// What surrounds pod workers besides sandboxes, faked: an API server's pods, images, volumes, objects, events.
//
// FakeApi outlives agents, as the API server does. All effects are steps of the FakeHost, so that an agent can die at
// each. Loop thread only, but for FakeImages (pull threads).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cache/image_store.h"
#include "kube/async/signal_event.h"
#include "kube/event_recorder.h"
#include "provider/status/status_manager.h"
#include "provider/volumes/volume_manager.h"
#include "test/provider/fakes/fake_host.h"

namespace burstlet::provider::test {

using PodPtr = std::shared_ptr<const kube::Pod>;

/// The pods as an API server has them.
class FakeApi {
 public:
  std::map<std::string, kube::Pod> pods;  // by UID
  std::vector<std::string> phases;        // every phase that was stored, repetitions left out
  std::vector<std::string> log;           // "write Running", "delete"
  std::vector<kube::PodStatus> statuses;  // all that were stored
  bool refuse_writes = false;             // an outage
  int refused = 0;                        // statuses that said what no status may say
  int version = 100;

  PodPtr Put(kube::Pod pod) {
    pod.metadata.resourceVersion = std::to_string(++version);
    auto& stored = pods[pod.metadata.uid] = std::move(pod);
    return std::make_shared<const kube::Pod>(stored);
  }
  const kube::PodStatus& Status(const std::string& uid) const { return pods.at(uid).status; }
  std::string Phase(const std::string& uid) const { return pods.count(uid) == 0 ? "gone" : Status(uid).phase; }
};

class FakeStatusSink : public StatusSink {
 public:
  FakeStatusSink(FakeHost& host, FakeApi& api) : host_(host), api_(api) {}
  /// As the watch tells it.
  std::function<void(PodPtr pod)> changed;
  std::function<void(const std::string& uid)> deleted;
  /// Where everything goes instead, if set.
  StatusSink* other = nullptr;

  kube::Task<absl::StatusOr<kube::Pod>> Write(PodPtr pod, kube::PodStatus previous, kube::PodStatus next) override {
    if (other != nullptr) co_return co_await other->Write(pod, std::move(previous), std::move(next));
    if (!host_.Step(absl::StrCat("write ", next.phase))) co_return AgentIsDead();
    if (api_.refuse_writes) co_return absl::UnavailableError("outage");
    const auto found = api_.pods.find(pod->metadata.uid);
    if (found == api_.pods.end()) co_return absl::NotFoundError("no such pod");
    if (LeavesAnEnd(found->second, next)) {
      ++api_.refused;
      co_return absl::InvalidArgumentError("may not be transitioned to non-terminated state");
    }
    api_.log.push_back(absl::StrCat("write ", next.phase));
    if (api_.phases.empty() || api_.phases.back() != next.phase) api_.phases.push_back(next.phase);
    api_.statuses.push_back(next);
    found->second.status = std::move(next);
    found->second.metadata.resourceVersion = std::to_string(++api_.version);
    if (!host_.Step("written")) co_return AgentIsDead();
    if (changed) changed(std::make_shared<const kube::Pod>(found->second));
    co_return found->second;
  }
  kube::Task<absl::Status> Delete(PodPtr pod) override {
    if (other != nullptr) co_return co_await other->Delete(pod);
    if (!host_.Step("delete")) co_return AgentIsDead();
    if (api_.refuse_writes) co_return absl::UnavailableError("outage");
    api_.log.push_back("delete");
    api_.pods.erase(pod->metadata.uid);
    if (!host_.Step("deleted")) co_return AgentIsDead();
    if (deleted) deleted(pod->metadata.uid);
    co_return absl::OkStatus();
  }

 private:
  /// As an API server's validation: an end under Never is one (ValidateContainerStateTransition).
  static bool LeavesAnEnd(const kube::Pod& pod, const kube::PodStatus& next) {
    if (pod.spec.restartPolicy != "Never") return false;
    for (const kube::Container& container : pod.spec.containers) {
      if (container.restartPolicy) return false;
    }
    for (const kube::ContainerStatus& before : pod.status.containerStatuses) {
      for (const kube::ContainerStatus& after : next.containerStatuses) {
        if (before.name == after.name && before.state.terminated && !after.state.terminated) return true;
      }
    }
    return false;
  }

  FakeHost& host_;
  FakeApi& api_;
};

class FakeImages : public cache::ImageStore {
 public:
  explicit FakeImages(FakeHost& host) : host_(host) {}
  std::set<std::string> present{"app:1"};

  std::shared_ptr<const cache::Image> Find(const std::string& reference) override {
    const std::lock_guard lock(mutex_);
    return present.count(reference) == 0 ? nullptr : Make();
  }
  absl::StatusOr<cache::PullResult> Pull(const cache::PullRequest& request) override {
    if (!host_.Step("pull " + request.reference)) return AgentIsDead();
    if (request.cancelled != nullptr && *request.cancelled) return absl::CancelledError("cancelled");
    if (request.reference == "missing:1") return absl::NotFoundError("no such image");
    const std::lock_guard lock(mutex_);
    present.insert(request.reference);
    cache::PullResult result;
    result.image = Make();
    return result;
  }
  std::vector<std::shared_ptr<const cache::Image>> List() override { return {}; }
  std::vector<cache::StoredImage> Usage() override { return {}; }
  absl::Status Remove(const std::string&) override { return absl::OkStatus(); }

 private:
  static std::shared_ptr<const cache::Image> Make() {
    auto image = std::make_shared<cache::Image>();
    image->id = "sha256:1";
    image->config.entrypoint = {"/app"};
    image->layer_dirs = {"/layer"};
    return image;
  }
  FakeHost& host_;
  std::mutex mutex_;
};

class FakeVolumes : public VolumeManager {
 public:
  FakeVolumes(FakeHost& host, kube::Loop& loop, std::set<std::string>& on_disk)
      : release(loop), host_(host), on_disk_(on_disk) {}
  bool hold = false;
  absl::Status error;
  kube::SignalEvent release;

  kube::Task<absl::StatusOr<ReadyVolumes>> Mount(PodPtr pod, std::vector<std::string>) override {
    if (!host_.Step("mount")) co_return AgentIsDead();
    if (hold) co_await release.Wait();
    if (!error.ok()) co_return error;
    on_disk_.insert(pod->metadata.uid);
    if (!host_.Step("mounted")) co_return AgentIsDead();
    ReadyVolumes ready;
    for (const kube::Volume& volume : pod->spec.volumes) ready[volume.name];
    co_return ready;
  }
  void Refresh(PodPtr) override {}
  kube::Task<absl::Status> Unmount(std::string uid) override {
    if (!host_.Step("unmount")) co_return AgentIsDead();
    on_disk_.erase(uid);
    if (!host_.Step("unmounted")) co_return AgentIsDead();
    co_return absl::OkStatus();
  }
  std::vector<std::string> KnownPods() override { return {on_disk_.begin(), on_disk_.end()}; }

 private:
  FakeHost& host_;
  std::set<std::string>& on_disk_;
};

class FakeObjectSource : public ObjectSource {
 public:
  std::map<std::string, std::shared_ptr<const kube::ConfigMap>> config_maps;
  std::multiset<std::string> acquired;

  void Acquire(const kube::Pod& pod) override { acquired.insert(pod.metadata.uid); }
  void Release(const std::string& uid) override { acquired.erase(uid); }
  kube::Task<absl::StatusOr<std::shared_ptr<const kube::ConfigMap>>> GetConfigMap(std::string,
                                                                                  std::string name) override {
    const auto found = config_maps.find(name);
    if (found == config_maps.end()) co_return absl::NotFoundError(absl::StrCat("configmap \"", name, "\" not found"));
    co_return found->second;
  }
  kube::Task<absl::StatusOr<std::shared_ptr<const kube::Secret>>> GetSecret(std::string, std::string name) override {
    co_return absl::NotFoundError(absl::StrCat("secret \"", name, "\" not found"));
  }
  kube::Task<absl::StatusOr<kube::TokenRequestStatus>> CreateToken(PodPtr, std::string, std::int64_t) override {
    co_return absl::UnimplementedError("no tokens here");
  }
};

class FakeEvents : public kube::EventRecorder {
 public:
  std::vector<std::string> reasons;
  std::vector<std::string> messages;
  void PodEvent(const kube::Pod&, const std::string&, const std::string&, const std::string& reason,
                const std::string& message) override {
    reasons.push_back(reason);
    messages.push_back(message);
  }
  bool Says(const std::string& message) const {
    return std::find(messages.begin(), messages.end(), message) != messages.end();
  }
  void NodeEvent(const std::string&, const std::string&, const std::string&) override {}
  kube::Task<void> Stop() override { co_return; }
  bool Has(const std::string& reason) const {
    return std::find(reasons.begin(), reasons.end(), reason) != reasons.end();
  }
};

}  // namespace burstlet::provider::test
