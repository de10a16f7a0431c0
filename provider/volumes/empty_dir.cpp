#include "provider/volumes/empty_dir.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "absl/strings/str_cat.h"
#include "kube/api/quantity.h"
#include "metrics/status.h"
#include "provider/translate/resources.h"
#include "provider/translate/translate.h"
#include "provider/volumes/directory.h"
#include "provider/volumes/ownership.h"

namespace burstlet::provider {
namespace {

constexpr mode_t kDefaultMode = 0777;
constexpr char kHugePages[] = "HugePages";
constexpr char kHugePagesOf[] = "HugePages-";
constexpr char kHugePagesResource[] = "hugepages-";
// tmpfs' own default: everybody may write, nobody may delete another's files.
constexpr std::uint32_t kTmpfsMode = 01777;

std::optional<std::int64_t> FsGroup(const kube::Pod& pod) {
  return pod.spec.securityContext ? pod.spec.securityContext->fsGroup : std::nullopt;
}

}  // namespace

std::int64_t MemoryVolumeSize(const kube::Pod& pod, const kube::EmptyDirVolumeSource& source, const NodeInfo& node) {
  std::int64_t size = ValueOf(node.allocatable, "memory");
  auto lower_to = [&](std::int64_t limit) {
    if (limit > 0 && (size == 0 || limit < size)) size = limit;
  };
  lower_to(PodResources(pod, node).memory_limit_bytes.value_or(0));
  if (source.sizeLimit) lower_to(kube::QuantityValue(*source.sizeLimit));
  return size;
}

sandbox::VolumeSource MemoryVolume(const kube::Pod& pod, const kube::EmptyDirVolumeSource& source,
                                   const NodeInfo& node) {
  sandbox::VolumeSource result;
  result.kind = sandbox::VolumeSource::Kind::kTmpfs;
  result.size_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(MemoryVolumeSize(pod, source, node), 0));
  result.mode = source.mode ? static_cast<std::uint32_t>(*source.mode) & 07777 : kTmpfsMode;
  if (auto group = FsGroup(pod)) {
    result.gid = static_cast<std::uint32_t>(*group);
    result.mode |= S_ISGID | 0770;
  }
  return result;
}

bool IsHugePageMedium(const std::string& medium) { return medium == kHugePages || medium.rfind(kHugePagesOf, 0) == 0; }

absl::StatusOr<std::int64_t> HugePageSize(const kube::Pod& pod, const std::string& medium) {
  std::int64_t wanted = 0;
  if (medium != kHugePages) {
    ASSIGN_OR_RETURN(const kube::Quantity size, kube::ParseQuantity(medium.substr(sizeof(kHugePagesOf) - 1)));
    wanted = kube::QuantityValue(size);
  }
  std::set<std::int64_t> requested;
  const auto collect = [&](const kube::ResourceList& requests) {
    for (const auto& [name, quantity] : requests) {
      if (name.rfind(kHugePagesResource, 0) != 0) continue;
      const auto size = kube::ParseQuantity(name.substr(sizeof(kHugePagesResource) - 1));
      if (size.ok()) requested.insert(kube::QuantityValue(*size));
    }
  };
  if (PodLevelResourcesSet(pod)) collect(pod.spec.resources->requests);
  for (const auto* list : {&pod.spec.containers, &pod.spec.initContainers}) {
    for (const auto& container : *list) collect(container.resources.requests);
  }
  if (wanted == 0 && requested.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("medium: ", medium, " can't be used if container requests multiple huge page sizes"));
  }
  if (requested.empty() || (wanted != 0 && !requested.contains(wanted))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "medium ", medium, ": hugePages storage requested, but there is no resource request for huge pages"));
  }
  return wanted != 0 ? wanted : *requested.begin();
}

sandbox::VolumeSource HugePageVolume(const kube::Pod& pod, const kube::EmptyDirVolumeSource& source) {
  sandbox::VolumeSource result;
  result.kind = sandbox::VolumeSource::Kind::kHugePages;
  result.page_size_bytes = static_cast<std::uint64_t>(HugePageSize(pod, source.medium).value_or(0));
  result.mode = source.mode ? static_cast<std::uint32_t>(*source.mode) & 07777 : kDefaultMode;
  if (auto group = FsGroup(pod)) {
    result.gid = static_cast<std::uint32_t>(*group);
    result.mode |= S_ISGID | 0770;
  }
  return result;
}

absl::Status SetUpEmptyDir(int pod_directory, const std::string& name, const kube::Pod& pod,
                           const kube::EmptyDirVolumeSource& source) {
  if (!source.medium.empty()) {
    return absl::UnimplementedError(absl::StrCat("emptyDir.medium \"", source.medium, "\" is not supported"));
  }
  ASSIGN_OR_RETURN(const sandbox::UniqueFd parent, MakeInside(pod_directory, kEmptyDirs, 0700));
  struct stat status{};
  if (::fstatat(parent.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISDIR(status.st_mode)) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("emptyDir ", name, " is not a directory"));
  }
  // Volume names have no dots in front: the directory in the making can't be one.
  const std::string unready = absl::StrCat(".new-", name);
  RETURN_IF_ERROR(DeleteTree(parent.get(), unready));
  const mode_t mode = source.mode ? static_cast<mode_t>(*source.mode) & 07777 : kDefaultMode;
  ASSIGN_OR_RETURN(const sandbox::UniqueFd directory, MakeInside(parent.get(), unready, mode));
  if (auto group = FsGroup(pod)) {
    GroupOwnership ownership;
    ownership.gid = *group;
    RETURN_IF_ERROR(SetGroupOwnership(directory.get(), ownership));
  }
  if (::renameat(parent.get(), unready.c_str(), parent.get(), name.c_str()) != 0) {
    return ErrnoError(errno, absl::StrCat("make emptyDir ", name));
  }
  return absl::OkStatus();
}

}  // namespace burstlet::provider
