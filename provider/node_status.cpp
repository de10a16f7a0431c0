#include "provider/node_status.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "kube/patch.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kMostImages = 50;        // nodeStatusMaxImages
constexpr std::size_t kMostNamesPerImage = 5;  // MaxNamesPerImageInNodeStatus

const kube::NodeCondition* FindCondition(const kube::NodeStatus& status, const std::string& type) {
  for (const kube::NodeCondition& condition : status.conditions) {
    if (condition.type == type) return &condition;
  }
  return nullptr;
}

class ConditionBuilder {
 public:
  ConditionBuilder(const kube::NodeStatus& previous, kube::Time now) : previous_(previous), now_(now) {}

  void Add(const char* type, bool value, const char* reason, std::string message) {
    kube::NodeCondition condition;
    condition.type = type;
    condition.status = value ? "True" : "False";
    condition.reason = reason;
    condition.message = std::move(message);
    condition.lastHeartbeatTime = now_;
    const kube::NodeCondition* before = FindCondition(previous_, type);
    const bool same = before != nullptr && before->status == condition.status && before->lastTransitionTime;
    condition.lastTransitionTime = same ? before->lastTransitionTime : now_;
    conditions_.push_back(std::move(condition));
  }

  /// Those of others, as they are.
  std::vector<kube::NodeCondition> Take() {
    std::vector<kube::NodeCondition> all;
    for (const kube::NodeCondition& condition : previous_.conditions) {
      const bool own = std::any_of(conditions_.begin(), conditions_.end(),
                                   [&](const auto& mine) { return mine.type == condition.type; });
      if (!own) all.push_back(condition);
    }
    all.insert(all.end(), conditions_.begin(), conditions_.end());
    return all;
  }

 private:
  const kube::NodeStatus& previous_;
  kube::Time now_;
  std::vector<kube::NodeCondition> conditions_;
};

std::vector<kube::NodeCondition> Conditions(const NodeConditionsInput& input, const kube::NodeStatus& previous,
                                            kube::Time now) {
  ConditionBuilder conditions(previous, now);
  if (input.pressure.memory) {
    conditions.Add("MemoryPressure", true, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available");
  } else {
    conditions.Add("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available");
  }
  if (input.pressure.disk) {
    conditions.Add("DiskPressure", true, "KubeletHasDiskPressure", "kubelet has disk pressure");
  } else {
    conditions.Add("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure");
  }
  if (input.pressure.pid) {
    conditions.Add("PIDPressure", true, "KubeletHasInsufficientPID", "kubelet has insufficient PID available");
  } else {
    conditions.Add("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available");
  }
  if (input.not_ready.empty()) {
    conditions.Add("Ready", true, "KubeletReady", "kubelet is posting ready status");
  } else {
    conditions.Add("Ready", false, "KubeletNotReady", absl::StrJoin(input.not_ready, ", "));
  }
  return conditions.Take();
}

/// Extended resources belong to those who advertise them (device plugins, administrators).
kube::ResourceList WithExtended(kube::ResourceList own, const kube::ResourceList& previous) {
  for (const auto& [name, quantity] : previous) {
    if (name.find('/') != std::string::npos) own.emplace(name, quantity);
  }
  return own;
}

std::vector<kube::ContainerImage> BiggestImages(std::vector<kube::ContainerImage> images) {
  std::sort(images.begin(), images.end(), [](const kube::ContainerImage& a, const kube::ContainerImage& b) {
    return a.sizeBytes != b.sizeBytes ? a.sizeBytes > b.sizeBytes : a.names < b.names;
  });
  if (images.size() > kMostImages) images.resize(kMostImages);
  for (kube::ContainerImage& image : images) {
    if (image.names.size() > kMostNamesPerImage) image.names.resize(kMostNamesPerImage);
  }
  return images;
}

kube::NodeRuntimeHandler Handler(const std::string& name, bool user_namespaces) {
  kube::NodeRuntimeHandler handler;
  handler.name = name;
  handler.features.emplace();
  handler.features->recursiveReadOnlyMounts = true;
  handler.features->userNamespaces = user_namespaces;
  return handler;
}

}  // namespace

bool PressureHold::Held(bool seen, Clock::time_point now, Clock::time_point& until) const {
  if (seen) until = now + hold_;
  return seen || now < until;
}

NodePressure PressureHold::Update(const NodePressure& seen, Clock::time_point now) {
  NodePressure shown;
  shown.memory = Held(seen.memory, now, memory_until_);
  shown.disk = Held(seen.disk, now, disk_until_);
  shown.pid = Held(seen.pid, now, pid_until_);
  return shown;
}

kube::NodeStatus BuildNodeStatus(const NodeInfo& info, const NodeConditionsInput& input,
                                 const kube::NodeStatus& previous, kube::Time now) {
  now.unix_nanos -= now.unix_nanos % 1'000'000'000;
  kube::NodeStatus status = previous;
  status.capacity = WithExtended(info.capacity, previous.capacity);
  status.allocatable = WithExtended(info.allocatable, previous.allocatable);
  status.phase.clear();
  status.conditions = Conditions(input, previous, now);
  status.addresses.clear();
  for (const std::string& address : info.addresses) status.addresses.push_back({"InternalIP", address});
  status.addresses.push_back({"Hostname", info.hostname});
  status.daemonEndpoints.kubeletEndpoint.Port = info.kubelet_port;
  status.nodeInfo = info.system;
  status.images = BiggestImages(input.images);
  status.runtimeHandlers = {Handler("", input.user_namespaces)};
  std::vector<std::string> names = input.runtime_handlers;
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (!name.empty()) status.runtimeHandlers.push_back(Handler(name, input.user_namespaces));
  }
  status.features = kube::NodeFeatures{true};
  status.declaredFeatures = {"ExtendWebSocketsToKubelet", "InPlacePodLevelResourcesVerticalScaling",
                             "InPlacePodVerticalScalingInitContainers", "RestartAllContainersOnContainerExits"};
  return status;
}

bool NodeStatusChanged(const kube::NodeStatus& old_status, const kube::NodeStatus& new_status) {
  kube::NodeStatus before = old_status;
  kube::NodeStatus after = new_status;
  for (auto* status : {&before, &after}) {
    for (kube::NodeCondition& condition : status->conditions) condition.lastHeartbeatTime = {};
    std::sort(status->conditions.begin(), status->conditions.end(),
              [](const kube::NodeCondition& a, const kube::NodeCondition& b) { return a.type < b.type; });
  }
  return !kube::NodeStatusPatch(before, after).empty();
}

}  // namespace burstlet::provider
