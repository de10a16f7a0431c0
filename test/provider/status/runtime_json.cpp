#include "test/provider/status/runtime_json.h"

#include <stdexcept>

#include "kube/json_codec.h"

namespace burstlet::kube {
using provider::RuntimeJson;
BURSTLET_JSON_TYPE(RuntimeJson);
}  // namespace burstlet::kube

namespace burstlet::provider {
namespace {

ContainerKind KindOf(const std::string& kind) {
  if (kind == "init") return ContainerKind::kInit;
  return kind == "ephemeral" ? ContainerKind::kEphemeral : ContainerKind::kApp;
}

ContainerInstance ToInstance(const InstanceJson& json) {
  ContainerInstance instance;
  instance.id = json.id;
  instance.phase = json.state == "running" ? ContainerInstance::Phase::kRunning : ContainerInstance::Phase::kExited;
  instance.started_at = json.startedAt.unix_nanos;
  instance.finished_at = json.finishedAt.unix_nanos;
  instance.exit_code = json.exitCode;
  instance.signal = json.signal;
  instance.oom_killed = json.oomKilled;
  instance.reason = json.reason;
  instance.message = json.message;
  instance.image = json.image;
  instance.image_id = json.imageID;
  instance.user = json.user;
  instance.resources = json.resources;
  instance.in_current_sandbox = !json.oldSandbox;
  if (json.restartAsked) instance.AskRestart();
  instance.removed_for_restart = json.removedForRestart;
  return instance;
}

}  // namespace

RuntimeJson DecodeRuntime(const std::string& json) {
  std::vector<std::string> unknown;
  absl::StatusOr<RuntimeJson> runtime = kube::Decode<RuntimeJson>(json, &unknown);
  if (!runtime.ok()) throw std::runtime_error(runtime.status().ToString());
  if (!unknown.empty()) throw std::runtime_error("unknown field " + unknown.front());
  return *std::move(runtime);
}

PodRuntimeView ToView(const RuntimeJson& json) {
  PodRuntimeView view;
  for (const auto& [name, container] : json.containers) {
    ContainerView& own = view.containers[name];
    own.kind = KindOf(container.kind);
    for (const InstanceJson& instance : container.instances) own.instances.push_back(ToInstance(instance));
    own.restart_count = static_cast<unsigned>(container.restartCount);
    if (container.waiting) own.waiting = WaitingInfo{container.waiting->reason, container.waiting->message};
    own.startup_passed = container.startupPassed;
    own.readiness_passed = container.readinessPassed;
  }
  view.sandbox_ready = json.sandboxReady;
  view.pod_ips = json.podIPs;
  view.terminated = json.terminated;
  view.terminating = json.terminating;
  view.restarting_all = json.restartingAll;
  if (json.failure) view.failure = WaitingInfo{json.failure->reason, json.failure->message};
  view.observed_generation = json.observedGeneration;
  view.start_time = json.startTime;
  return view;
}

}  // namespace burstlet::provider
