#include "provider/status/merge.h"

#include <algorithm>
#include <map>
#include <type_traits>
#include <utility>

#include "kube/api/quantity.h"
#include "provider/status/conditions.h"
#include "provider/status/restart.h"

namespace burstlet::provider {
namespace {

constexpr std::int64_t kNanosPerSecond = 1'000'000'000;
/// MaxPodTerminationMessageLogLength of the kubelet: all containers of a pod share it.
constexpr std::size_t kMessageBudget = 12 * 1024;

void CutToSeconds(kube::Time& time) { time.unix_nanos -= time.unix_nanos % kNanosPerSecond; }

/// At most `limit` bytes, never half a UTF-8 sequence.
void CutMessage(std::string& message, std::size_t limit) {
  if (message.size() <= limit) return;
  while (limit > 0 && (static_cast<unsigned char>(message[limit]) & 0xC0) == 0x80) --limit;
  message.resize(limit);
}

void NormalizeState(kube::ContainerState& state, std::size_t limit) {
  if (state.running) CutToSeconds(state.running->startedAt);
  if (!state.terminated) return;
  CutToSeconds(state.terminated->startedAt);
  CutToSeconds(state.terminated->finishedAt);
  CutMessage(state.terminated->message, limit);
}

/// Writes every set field as name=value; an absent field and an empty one look alike, as in JSON with omitempty.
class FingerprintWriter {
 public:
  explicit FingerprintWriter(std::string& out) : out_(out) {}

  template <typename T>
  void operator()(const char* name, const T& value, kube::Presence) {
    const std::size_t start = out_.size();
    out_ += name;
    out_ += '=';
    const std::size_t body = out_.size();
    Write(value);
    if (out_.size() == body) {
      out_.resize(start);
    } else {
      out_ += ';';
    }
  }

 private:
  void Write(const std::string& value) {
    if (value.empty()) return;
    out_ += std::to_string(value.size());
    out_ += ':';
    out_ += value;
  }
  void Write(bool value) {
    if (value) out_ += '1';
  }
  void Write(std::int32_t value) { Write(static_cast<std::int64_t>(value)); }
  void Write(std::int64_t value) {
    if (value != 0) out_ += std::to_string(value);
  }
  void Write(const kube::Time& value) { Write(value.unix_nanos / kNanosPerSecond); }
  void Write(const kube::RawJson& value) { Write(value.text); }
  void Write(const kube::Quantity& value) {
    if (!value.text.empty()) out_ += std::to_string(kube::QuantityMilliValue(value)) + "m";
  }
  template <typename T>
  void Write(const std::optional<T>& value) {
    if (!value) return;
    out_ += '?';
    Write(*value);
  }
  template <typename T>
  void Write(const std::vector<T>& values) {
    for (const T& value : values) {
      out_ += '[';
      Write(value);
      out_ += ']';
    }
  }
  template <typename T>
  void Write(const std::map<std::string, T>& values) {
    for (const auto& [key, value] : values) {
      out_ += '[';
      Write(key);
      out_ += ',';
      Write(value);
      out_ += ']';
    }
  }
  template <typename T>
    requires std::is_class_v<T>
  void Write(const T& value) {
    VisitFields(*this, value);
  }

  std::string& out_;
};

}  // namespace

void NormalizeStatus(const kube::Pod& pod, kube::PodStatus& status) {
  const std::size_t containers =
      pod.spec.containers.size() + pod.spec.initContainers.size() + pod.spec.ephemeralContainers.size();
  const std::size_t limit = kMessageBudget / std::max<std::size_t>(containers, 1);
  if (status.startTime) CutToSeconds(*status.startTime);
  for (kube::PodCondition& condition : status.conditions) {
    CutToSeconds(condition.lastProbeTime);
    CutToSeconds(condition.lastTransitionTime);
  }
  for (auto* list : {&status.initContainerStatuses, &status.containerStatuses, &status.ephemeralContainerStatuses}) {
    for (kube::ContainerStatus& container : *list) {
      NormalizeState(container.state, limit);
      NormalizeState(container.lastState, limit);
    }
  }
}

void KeepForeignFields(const kube::PodStatus& from, kube::PodStatus& to) {
  to.nominatedNodeName = from.nominatedNodeName;
  to.resize = from.resize;
  to.resourceClaimStatuses = from.resourceClaimStatuses;
  to.extendedResourceClaimStatus = from.extendedResourceClaimStatus;
  to.nodeAllocatableResourceClaimStatuses = from.nodeAllocatableResourceClaimStatuses;
  to.volumeHealth = from.volumeHealth;
}

kube::PodStatus MergeStatus(const kube::PodStatus& stored, kube::PodStatus next) {
  std::vector<kube::PodCondition> conditions;
  for (const kube::PodCondition& condition : stored.conditions) {
    if (!OwnedCondition(condition.type)) conditions.push_back(condition);
  }
  for (kube::PodCondition& condition : next.conditions) {
    if (OwnedCondition(condition.type)) {
      conditions.push_back(std::move(condition));
    } else if (IsDisruptionByNode(condition)) {
      // The one condition that nodes share with others, and here it is the node's word.
      std::erase_if(conditions, [](const kube::PodCondition& other) { return other.type == "DisruptionTarget"; });
      conditions.push_back(std::move(condition));
    }
  }
  next.conditions = std::move(conditions);
  // Whoever ended the pod, it stays ended.
  if (TerminalPhase(stored.phase) && !TerminalPhase(next.phase)) {
    next.phase = stored.phase;
    next.reason = stored.reason;
    next.message = stored.message;
  }
  if (next.startTime && stored.startTime && *stored.startTime) next.startTime = stored.startTime;
  KeepForeignFields(stored, next);
  return next;
}

std::string StatusFingerprint(const kube::PodStatus& status) {
  kube::PodStatus own = status;
  std::erase_if(own.conditions, [](const kube::PodCondition& condition) { return !OwnedCondition(condition.type); });
  for (kube::PodCondition& condition : own.conditions) condition.lastTransitionTime = {};
  std::sort(own.conditions.begin(), own.conditions.end(),
            [](const kube::PodCondition& a, const kube::PodCondition& b) { return a.type < b.type; });
  KeepForeignFields(kube::PodStatus{}, own);
  std::string text;
  FingerprintWriter writer(text);
  VisitFields(writer, own);
  return text;
}

}  // namespace burstlet::provider
