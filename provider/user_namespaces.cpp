#include "provider/user_namespaces.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/pod_record.h"
#include "sandbox/os/mount.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

constexpr std::uint32_t kUnit = 65536;
constexpr std::uint32_t kEndOfIds = 1u << 31;  // beyond are numbers that some programs take for negative
constexpr const char* kFile = "userns";

struct SubIds {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  bool operator==(const SubIds&) const = default;
};

bool HasPrivileged(const std::vector<kube::Container>& containers) {
  return std::any_of(containers.begin(), containers.end(), [](const kube::Container& container) {
    return container.securityContext && container.securityContext->privileged.value_or(false);
  });
}

/// The one line "kubelet:FIRST:COUNT" of subuid(5).
absl::StatusOr<std::optional<SubIds>> KubeletLine(const std::string& file, const std::string& text) {
  std::optional<SubIds> found;
  for (const auto line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> parts = absl::StrSplit(line, ':');
    if (parts.size() != 3 || parts[0] != "kubelet") continue;
    SubIds ids;
    if (!absl::SimpleAtoi(parts[1], &ids.first) || !absl::SimpleAtoi(parts[2], &ids.count))
      return absl::InvalidArgumentError(absl::StrCat(file, ": line of user kubelet: expected numbers"));
    if (found) return absl::InvalidArgumentError(absl::StrCat(file, ": user kubelet has more than one range"));
    found = ids;
  }
  return found;
}

}  // namespace

absl::StatusOr<UserNamespaces::Range> UserNamespaces::FindRange(const std::string& subuid, const std::string& subgid,
                                                                std::uint32_t per_pod, std::int64_t max_pods) {
  if (per_pod == 0 || per_pod % kUnit != 0)
    return absl::InvalidArgumentError(
        absl::StrCat("userNamespaces.idsPerPod: ", per_pod, " is not a multiple of ", kUnit));
  ASSIGN_OR_RETURN(const std::optional<SubIds> uids, KubeletLine("/etc/subuid", subuid));
  ASSIGN_OR_RETURN(const std::optional<SubIds> gids, KubeletLine("/etc/subgid", subgid));
  if (uids != gids) return absl::InvalidArgumentError("mismatched subuids and subgids for user \"kubelet\"");
  Range range{per_pod, 0, per_pod};
  range.count = (kEndOfIds - per_pod) / per_pod * per_pod;
  if (uids) {
    range.first = uids->first;
    range.count = uids->count;
  }
  const std::string who = "/etc/subuid: the ids of user kubelet";
  if (range.first % per_pod != 0 || range.first < per_pod)
    return absl::InvalidArgumentError(
        absl::StrCat(who, " start at ", range.first, ", which must be a multiple of ", per_pod, " and not 0"));
  if (range.count % per_pod != 0 || std::uint64_t{range.first} + range.count > (std::uint64_t{1} << 32) - 1)
    return absl::InvalidArgumentError(
        absl::StrCat(who, ": ", range.count, " ids are no multiple of ", per_pod, ", or more than there are"));
  if (range.count / per_pod < static_cast<std::uint64_t>(max_pods))
    return absl::InvalidArgumentError(absl::StrCat(who, " are not enough to support ", max_pods, " pods (maxPods)"));
  return range;
}

UserNamespaces::UserNamespaces(Range range, AgentPaths paths, std::uint32_t start, bool by_default)
    : range_(range),
      paths_(std::move(paths)),
      by_default_(by_default),
      next_(start % std::max(1u, range.count / range.per_pod)) {
  for (const std::string& uid : ListPodRecords(paths_)) {
    const auto text = sandbox::ReadFile(paths_.PodFile(uid, kFile), 64);
    if (!text.ok()) continue;
    const std::vector<std::string> words = absl::StrSplit(*text, ' ');
    std::uint32_t host_id = 0;
    std::uint32_t count = 0;
    const bool ok = words.size() == 2 && absl::SimpleAtoi(words[0], &host_id) && absl::SimpleAtoi(words[1], &count) &&
                    count == range_.per_pod && host_id >= range_.first &&
                    (host_id - range_.first) % range_.per_pod == 0 && host_id - range_.first < range_.count;
    const std::uint32_t index = ok ? (host_id - range_.first) / range_.per_pod : 0;
    if (!ok || !used_.insert(index).second) {
      // Of another configuration: the pod that runs with it goes on, one that starts anew takes a new range.
      Warn("A pod's user namespace is not of this node's range", {{"podUID", uid}, {"ids", *text}});
      continue;
    }
    by_pod_[uid] = index;
  }
}

bool UserNamespaces::Wants(const kube::Pod& pod, bool by_default) {
  const kube::PodSpec& spec = pod.spec;
  if (spec.hostUsers) return !*spec.hostUsers;
  return by_default && !spec.hostNetwork && !spec.hostPID && !spec.hostIPC && !HasPrivileged(spec.initContainers) &&
         !HasPrivileged(spec.containers);
}

absl::StatusOr<std::uint32_t> UserNamespaces::Take(const std::string& uid) {
  if (const auto found = by_pod_.find(uid); found != by_pod_.end()) return found->second;
  const std::uint32_t all = range_.count / range_.per_pod;
  for (std::uint32_t tried = 0; tried < all; ++tried) {
    const std::uint32_t index = (next_ + tried) % all;
    if (used_.contains(index)) continue;
    next_ = (index + 1) % all;
    used_.insert(index);
    by_pod_[uid] = index;
    return index;
  }
  return absl::ResourceExhaustedError("could not find an empty slot to allocate a user namespace");
}

absl::StatusOr<sandbox::IdMap> UserNamespaces::GetOrCreate(const std::string& uid) {
  if (!sandbox::KernelMapsIds()) {
    return absl::UnimplementedError(
        "can't set `spec.hostUsers: false`, runtime does not support user namespaces (Linux 6.3 is needed)");
  }
  std::lock_guard<std::mutex> lock(mutex_);
  const bool known = by_pod_.contains(uid);
  ASSIGN_OR_RETURN(const std::uint32_t index, Take(uid));
  const sandbox::IdMap ids{0, range_.first + index * range_.per_pod, range_.per_pod};
  if (known) return ids;
  const absl::Status written =
      sandbox::WriteFileAtomically(paths_.PodFile(uid, kFile), absl::StrCat(ids.host_id, " ", ids.count), 0600);
  if (written.ok()) return ids;
  used_.erase(index);
  by_pod_.erase(uid);
  return Annotate(written, "write the pod's user namespace mappings");
}

void UserNamespaces::Release(const std::string& uid) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_pod_.find(uid);
  if (found == by_pod_.end()) return;
  used_.erase(found->second);
  by_pod_.erase(found);
}

}  // namespace burstlet::provider
