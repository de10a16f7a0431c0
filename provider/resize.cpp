#include "provider/resize.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/pod_actions.h"
#include "provider/translate/resources.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

using Kind = ResizeStep::Kind;

ResourceValues Values(const kube::ResourceRequirements& resources) {
  return {MilliValueOf(resources.requests, "cpu"), MilliValueOf(resources.limits, "cpu"),
          ValueOf(resources.requests, "memory"), ValueOf(resources.limits, "memory")};
}

bool NeedsRestart(const kube::Container& container, const char* resource) {
  for (const kube::ContainerResizePolicy& policy : container.resizePolicy) {
    if (policy.resourceName == resource) return policy.restartPolicy == "RestartContainer";
  }
  return false;
}

/// The run that would be changed, or null. A sidecar that has not passed its startup probe is left alone for now.
const ContainerInstance* ResizableRun(const kube::Container& container, const PodRuntimeView& view) {
  const auto found = view.containers.find(container.name);
  if (found == view.containers.end() || !IsRunning(found->second)) return nullptr;
  const bool starting = found->second.kind == ContainerKind::kInit && IsSidecar(container) && container.startupProbe &&
                        !found->second.startup_passed.value_or(false);
  return starting ? nullptr : &found->second.instances.front();
}

/// What shrinks goes to the front, so that it makes room for the others.
void AddInOrder(std::vector<ContainerResize>& list, const ContainerResize& resize, std::int64_t desired,
                std::int64_t current) {
  if (desired < current) {
    list.insert(list.begin(), resize);
  } else if (desired > current) {
    list.push_back(resize);
  }
}

void PlanContainer(const kube::Container& container, const ContainerResize& resize, ResizePlan& plan) {
  const ResourceValues& to = resize.desired;
  const ResourceValues& from = resize.current;
  if (to == from) return;
  const bool memory = to.memory_limit != from.memory_limit || to.memory_request != from.memory_request;
  const bool cpu = to.cpu_limit != from.cpu_limit || to.cpu_request != from.cpu_request;
  if ((memory && NeedsRestart(container, "memory")) || (cpu && NeedsRestart(container, "cpu"))) {
    plan.restart.push_back(container.name);
    return;
  }
  if (to.memory_limit != from.memory_limit) {
    AddInOrder(plan.memory, resize, to.memory_limit, from.memory_limit);
  } else {
    AddInOrder(plan.memory, resize, to.memory_request, from.memory_request);
  }
  if (to.cpu_limit != from.cpu_limit) {
    AddInOrder(plan.cpu, resize, to.cpu_limit, from.cpu_limit);
  } else {
    AddInOrder(plan.cpu, resize, to.cpu_request, from.cpu_request);
  }
}

sandbox::Resources MemoryOf(const sandbox::Resources& all) {
  sandbox::Resources result;
  result.memory_limit_bytes = all.memory_limit_bytes;
  result.memory_min_bytes = all.memory_min_bytes;
  result.memory_low_bytes = all.memory_low_bytes;
  result.memory_high_bytes = all.memory_high_bytes;
  return result;
}

void AddContainers(const std::vector<ContainerResize>& list, Kind kind, const kube::Pod& pod, const NodeInfo& node,
                   std::vector<ResizeStep>& steps) {
  for (const ContainerResize& resize : list) {
    const std::optional<kube::Container> container = FindContainer(pod, resize.name);
    if (!container) continue;
    const sandbox::Resources all = ContainerResources(pod, *container, node);
    ResizeStep step{kind, resize.name, resize.id, {}};
    if (kind == Kind::kMemory) {
      step.resources = MemoryOf(all);
    } else {
      step.resources.cpu_shares = all.cpu_shares;
      step.resources.cpu_quota_us = all.cpu_quota_us.value_or(-1);
      step.resources.cpu_period_us = all.cpu_period_us;
    }
    steps.push_back(std::move(step));
  }
}

void AddMemorySteps(const ResizePlan& plan, const kube::Pod& pod, const PodRuntimeView& view, const NodeInfo& node,
                    std::vector<ResizeStep>& steps) {
  ResizeStep whole{Kind::kMemory, "", "", MemoryOf(PodResources(pod, node))};
  if (plan.goal.memoryLimit > 0) whole.resources.memory_limit_bytes = plan.goal.memoryLimit;
  const bool changes = plan.pod && (plan.goal.memoryLimit != view.applied.memoryLimit ||
                                    !(Values(plan.goal.spec) == Values(view.applied.spec)));
  const bool shrinks = view.applied.memoryLimit > 0 && plan.goal.memoryLimit < view.applied.memoryLimit;
  // A limit where there was none is set after those of the containers, which it must hold.
  const bool appears = view.applied.memoryLimit == 0 && plan.goal.memoryLimit > 0;
  if (changes && !shrinks && !appears) steps.push_back(whole);
  AddContainers(plan.memory, Kind::kMemory, pod, node, steps);
  if (changes && (shrinks || appears)) steps.push_back(whole);
}

void AddCpuSteps(const ResizePlan& plan, const kube::Pod& pod, const PodRuntimeView& view, const NodeInfo& node,
                 std::vector<ResizeStep>& steps) {
  const AppliedPodResources& from = view.applied;
  const AppliedPodResources& to = plan.goal;
  const auto quota = [&] {
    ResizeStep step{Kind::kCpu, "", "", {}};
    step.resources.cpu_quota_us = to.cpuQuota > 0 ? to.cpuQuota : -1;
    if (to.cpuPeriod > 0) step.resources.cpu_period_us = static_cast<std::uint64_t>(to.cpuPeriod);
    return step;
  };
  const auto shares = [&] {
    ResizeStep step{Kind::kCpu, "", "", {}};
    step.resources.cpu_shares = static_cast<std::uint64_t>(to.cpuShares);
    return step;
  };
  const bool quota_changes = plan.pod && to.cpuQuota != from.cpuQuota;
  // A quota where there was none can't be held by containers that have none yet: version 1 refuses a child above it.
  const bool quota_after = quota_changes && (from.cpuQuota == 0 || (to.cpuQuota > 0 && to.cpuQuota < from.cpuQuota));
  const bool shares_change = plan.pod && to.cpuShares != from.cpuShares;
  if (quota_changes && !quota_after) steps.push_back(quota());
  if (shares_change && to.cpuShares > from.cpuShares) steps.push_back(shares());
  AddContainers(plan.cpu, Kind::kCpu, pod, node, steps);
  if (shares_change && to.cpuShares < from.cpuShares) steps.push_back(shares());
  if (quota_after) steps.push_back(quota());
}

bool Lowers(std::int64_t desired, std::int64_t current) { return desired > 0 && (current == 0 || desired < current); }

}  // namespace

kube::ResourceRequirements AppliedRequirements(const kube::Pod& pod, const kube::Container& container) {
  return {EffectiveLimits(pod, container), container.resources.requests, {}};
}

AppliedPodResources AppliedTo(const kube::Pod& pod, const NodeInfo& node) {
  AppliedPodResources applied;
  const sandbox::Resources resources = PodResources(pod, node);
  if (pod.spec.resources) applied.spec = *pod.spec.resources;
  applied.cpuShares = static_cast<std::int64_t>(resources.cpu_shares.value_or(0));
  applied.cpuQuota = std::max<std::int64_t>(resources.cpu_quota_us.value_or(0), 0);
  applied.cpuPeriod = static_cast<std::int64_t>(resources.cpu_period_us.value_or(0));
  applied.memoryLimit = resources.memory_limit_bytes.value_or(0);
  return applied;
}

ResizePlan PlanResize(const kube::Pod& pod, const PodRuntimeView& view, const NodeInfo& node,
                      const std::set<std::string>& stopping) {
  ResizePlan plan;
  for (const auto* list : {&pod.spec.initContainers, &pod.spec.containers}) {
    for (const kube::Container& container : *list) {
      const ContainerInstance* run = ResizableRun(container, view);
      if (run == nullptr || stopping.contains(run->id)) continue;
      PlanContainer(container,
                    {container.name, run->id, Values(AppliedRequirements(pod, container)), Values(run->resources)},
                    plan);
    }
  }
  plan.goal = AppliedTo(pod, node);
  // As in the kubelet, what has a limit keeps one.
  if (plan.goal.memoryLimit == 0) plan.goal.memoryLimit = view.applied.memoryLimit;
  if (plan.goal.cpuQuota == 0) {
    plan.goal.cpuQuota = view.applied.cpuQuota;
    plan.goal.cpuPeriod = view.applied.cpuPeriod;
  }
  plan.pod = plan.goal.cpuShares != view.applied.cpuShares || plan.goal.cpuQuota != view.applied.cpuQuota ||
             plan.goal.memoryLimit != view.applied.memoryLimit ||
             !(Values(plan.goal.spec) == Values(view.applied.spec));
  return plan;
}

bool ResizeInProgress(const kube::Pod& pod, const PodRuntimeView& view) {
  const auto differs = [&](const kube::Container& container) {
    const auto found = view.containers.find(container.name);
    if (found == view.containers.end() || found->second.instances.empty()) return false;
    const ContainerInstance& run = found->second.instances.front();
    if (!IsRunning(found->second)) return run.restart_for_resize();  // its next run has the right size
    return !(Values(AppliedRequirements(pod, container)) == Values(run.resources));
  };
  for (const kube::Container& container : pod.spec.initContainers) {
    if (IsSidecar(container) && differs(container)) return true;
  }
  if (std::any_of(pod.spec.containers.begin(), pod.spec.containers.end(), differs)) return true;
  return view.sandbox_ready && pod.spec.resources && !(Values(*pod.spec.resources) == Values(view.applied.spec));
}

std::vector<ResizeStep> ResizeSteps(const ResizePlan& plan, const kube::Pod& pod, const PodRuntimeView& view,
                                    const NodeInfo& node) {
  std::vector<ResizeStep> steps;
  AddMemorySteps(plan, pod, view, node, steps);
  AddCpuSteps(plan, pod, view, node, steps);
  return steps;
}

bool LowersMemory(const ResizePlan& plan, const PodRuntimeView& view) {
  return (plan.pod && Lowers(plan.goal.memoryLimit, view.applied.memoryLimit)) ||
         std::any_of(plan.memory.begin(), plan.memory.end(), [](const ContainerResize& resize) {
           return Lowers(resize.desired.memory_limit, resize.current.memory_limit);
         });
}

absl::Status CheckMemoryInUse(const ResizePlan& plan, const PodRuntimeView& view, const sandbox::SandboxStats& stats) {
  std::vector<std::string> errors;
  const auto check = [&](const std::string& what, std::int64_t limit, std::uint64_t usage) {
    if (usage < static_cast<std::uint64_t>(limit)) return;
    errors.push_back(
        absl::StrCat("attempting to set ", what, " memory limit (", limit, ") below current usage (", usage, ")"));
  };
  if (plan.pod && Lowers(plan.goal.memoryLimit, view.applied.memoryLimit)) {
    check("pod", plan.goal.memoryLimit, stats.pod.memory_usage_bytes);
  }
  for (const ContainerResize& resize : plan.memory) {
    if (!Lowers(resize.desired.memory_limit, resize.current.memory_limit)) continue;
    for (const sandbox::ContainerStats& container : stats.containers) {
      if (container.id != resize.id) continue;
      check(absl::StrCat("container \"", resize.name, "\""), resize.desired.memory_limit,
            container.usage.memory_usage_bytes);
    }
  }
  if (errors.empty()) return absl::OkStatus();
  const std::string all = errors.size() == 1 ? errors.front() : absl::StrCat("[", absl::StrJoin(errors, ", "), "]");
  return absl::FailedPreconditionError(absl::StrCat("cannot decrease memory limits: ", all));
}

}  // namespace burstlet::provider
