#include "provider/status/conditions.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/pod_actions.h"
#include "provider/status/restart.h"

namespace burstlet::provider {
namespace {

constexpr char kDisruptionTarget[] = "DisruptionTarget";
constexpr char kTerminationByKubelet[] = "TerminationByKubelet";
constexpr char kPodCompleted[] = "PodCompleted";
constexpr char kPodFailed[] = "PodFailed";

using Names = std::vector<std::string>;

kube::PodCondition Make(const char* type, bool value, std::string reason = "", std::string message = "") {
  kube::PodCondition condition;
  condition.type = type;
  condition.status = value ? "True" : "False";
  condition.reason = std::move(reason);
  condition.message = std::move(message);
  return condition;
}

const char* TerminalReason(const std::string& phase) { return phase == "Failed" ? kPodFailed : kPodCompleted; }

void AddNames(const char* what, const Names& names, Names& messages) {
  if (names.empty()) return;
  messages.push_back(absl::StrCat("containers with ", what, " status: [", absl::StrJoin(names, " "), "]"));
}

kube::PodCondition ContainersReady(const ConditionInput& input) {
  constexpr char kType[] = "ContainersReady";
  Names unknown;
  Names unready;
  const auto check = [&](const kube::Container& container, const std::vector<kube::ContainerStatus>& statuses) {
    const kube::ContainerStatus* status = FindStatus(statuses, container.name);
    if (status == nullptr) {
      unknown.push_back(container.name);
    } else if (!status->ready) {
      unready.push_back(container.name);
    }
  };
  for (const kube::Container& container : input.pod.spec.initContainers) {
    if (IsSidecar(container)) check(container, input.statuses.init);
  }
  for (const kube::Container& container : input.pod.spec.containers) check(container, input.statuses.app);

  if (input.phase == "Succeeded" && unknown.empty()) return Make(kType, false, kPodCompleted);
  if (input.phase == "Failed") return Make(kType, false, kPodFailed);
  Names messages;
  AddNames("unknown", unknown, messages);
  AddNames("unready", unready, messages);
  if (!messages.empty()) return Make(kType, false, "ContainersNotReady", absl::StrJoin(messages, ", "));
  return Make(kType, true);
}

kube::PodCondition Ready(const ConditionInput& input, const kube::PodCondition& containers_ready,
                         const std::vector<kube::PodCondition>& conditions) {
  constexpr char kType[] = "Ready";
  if (containers_ready.status != "True") {
    return Make(kType, false, containers_ready.reason, containers_ready.message);
  }
  Names messages;
  for (const kube::PodReadinessGate& gate : input.pod.spec.readinessGates) {
    const kube::PodCondition* condition = FindCondition(conditions, gate.conditionType);
    if (condition == nullptr) {
      messages.push_back(
          absl::StrCat("corresponding condition of pod readiness gate \"", gate.conditionType, "\" does not exist."));
    } else if (condition->status != "True") {
      messages.push_back(absl::StrCat("the status of pod readiness gate \"", gate.conditionType,
                                      "\" is not \"True\", but ", condition->status));
    }
  }
  if (!messages.empty()) return Make(kType, false, "ReadinessGatesNotReady", absl::StrJoin(messages, ", "));
  return Make(kType, true);
}

bool AppHasStarted(const ConditionInput& input) {
  for (const kube::ContainerStatus& status : input.statuses.app) {
    if (status.state.running || status.state.terminated) return true;
  }
  return false;
}

kube::PodCondition Initialized(const ConditionInput& input) {
  constexpr char kType[] = "Initialized";
  Names unknown;
  Names incomplete;
  for (const kube::Container& container : input.pod.spec.initContainers) {
    const kube::ContainerStatus* status = FindStatus(input.statuses.init, container.name);
    if (status == nullptr) {
      unknown.push_back(container.name);
    } else if (IsSidecar(container) ? !status->started.value_or(false) : !status->ready) {
      incomplete.push_back(container.name);
    }
  }
  if (input.phase == "Succeeded" && unknown.empty()) return Make(kType, true, kPodCompleted);
  // Sidecars may be restarting while the app runs: a pod that was initialized stays so.
  if (AppHasStarted(input)) return Make(kType, true);
  Names messages;
  AddNames("unknown", unknown, messages);
  AddNames("incomplete", incomplete, messages);
  if (messages.empty()) return Make(kType, true);
  const kube::PodCondition* before = FindCondition(input.previous.conditions, kType);
  if (before != nullptr && before->status == "True") return Make(kType, true);
  return Make(kType, false, "ContainersNotInitialized", absl::StrJoin(messages, ", "));
}

kube::PodCondition ReadyToStart(const ConditionInput& input) {
  constexpr char kType[] = "PodReadyToStartContainers";
  if (input.sandbox_ready) return Make(kType, true);
  return Make(kType, false, "PodSandboxNotReady",
              input.had_sandbox ? "pod sandbox is not ready" : "no pod sandbox exists");
}

/// Only the kubelet's other conditions say which generation they are of.
constexpr char kAllContainersRestarting[] = "AllContainersRestarting";

kube::PodCondition AllContainersRestarting(const ConditionInput& input) {
  if (TerminalPhase(input.phase)) return Make(kAllContainersRestarting, false, TerminalReason(input.phase));
  if (!input.restarting_all) return Make(kAllContainersRestarting, false);
  return Make(kAllContainersRestarting, true, "RestartAllContainersStarted",
              "container exited with restart policy rule");
}

void Stamp(const ConditionInput& input, kube::PodCondition& condition) {
  const kube::PodCondition* before = FindCondition(input.previous.conditions, condition.type);
  const bool same = before != nullptr && before->status == condition.status && before->lastTransitionTime;
  condition.lastTransitionTime = same ? before->lastTransitionTime : input.now;
  if (condition.type != kAllContainersRestarting) condition.observedGeneration = input.generation;
}

}  // namespace

bool OwnedCondition(const std::string& type) {
  for (const char* owned : {"PodScheduled", "Ready", "Initialized", "ContainersReady", "PodResizeInProgress",
                            "PodResizePending", "PodReadyToStartContainers", "AllContainersRestarting"}) {
    if (type == owned) return true;
  }
  return false;
}

const kube::PodCondition* FindCondition(const std::vector<kube::PodCondition>& conditions, const std::string& type) {
  for (const kube::PodCondition& condition : conditions) {
    if (condition.type == type) return &condition;
  }
  return nullptr;
}

std::vector<kube::PodCondition> MakeConditions(const ConditionInput& input) {
  std::vector<kube::PodCondition> conditions;
  for (const kube::PodCondition& condition : input.previous.conditions) {
    if (!OwnedCondition(condition.type)) conditions.push_back(condition);
  }
  const kube::PodCondition containers_ready = ContainersReady(input);
  std::vector<kube::PodCondition> own;
  own.push_back(ReadyToStart(input));
  own.push_back(Initialized(input));
  own.push_back(Ready(input, containers_ready, conditions));
  own.push_back(containers_ready);
  own.push_back(Make("PodScheduled", true));
  if (HasRestartAllRule(input.pod.spec)) {
    own.push_back(AllContainersRestarting(input));
  }
  for (kube::PodCondition& condition : own) {
    Stamp(input, condition);
    conditions.push_back(std::move(condition));
  }
  return conditions;
}

bool IsDisruptionByNode(const kube::PodCondition& condition) {
  return condition.type == kDisruptionTarget && condition.reason == kTerminationByKubelet;
}

void AddDisruption(std::int64_t generation, kube::Time now, std::vector<kube::PodCondition>& conditions) {
  kube::PodCondition condition = Make(kDisruptionTarget, true, kTerminationByKubelet,
                                      "Pod was preempted by Kubelet to accommodate a critical pod.");
  condition.observedGeneration = generation;
  const kube::PodCondition* before = FindCondition(conditions, kDisruptionTarget);
  const bool same = before != nullptr && before->status == condition.status && before->lastTransitionTime;
  condition.lastTransitionTime = same ? before->lastTransitionTime : now;
  std::erase_if(conditions, [](const kube::PodCondition& other) { return other.type == kDisruptionTarget; });
  conditions.push_back(std::move(condition));
}

void ForceUnready(const std::string& phase, kube::Time now, std::vector<kube::PodCondition>& conditions) {
  for (kube::PodCondition& condition : conditions) {
    if ((condition.type != "Ready" && condition.type != "ContainersReady") || condition.status != "True") continue;
    condition.status = "False";
    condition.reason = TerminalReason(phase);
    condition.message.clear();
    condition.lastTransitionTime = now;
  }
}

}  // namespace burstlet::provider
