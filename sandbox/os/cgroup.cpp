#include "sandbox/os/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/syscalls.h"

namespace burstlet::sandbox {
namespace {

constexpr const char* kV1Controllers[] = {"cpu", "cpuacct", "memory", "devices", "pids", "hugetlb"};

bool Wanted(const std::string& controller) {
  return std::find(std::begin(kV1Controllers), std::end(kV1Controllers), controller) != std::end(kV1Controllers);
}

/// Tells the observer of one operation when it goes.
class Timed {
 public:
  Timed(const CgroupTree::Observer& observer, const char* operation) : observer_(observer), operation_(operation) {}
  ~Timed() {
    if (observer_)
      observer_(operation_, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count());
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  const CgroupTree::Observer& observer_;
  const char* const operation_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

absl::Status MakeOne(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return absl::OkStatus();
  return ErrnoError(errno, absl::StrCat("create cgroup ", path));
}

absl::Status RemoveOne(const std::string& path) {
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != EBUSY && errno != ENOTEMPTY) return ErrnoError(errno, absl::StrCat("remove cgroup ", path));
  // A container may have made cgroups of its own; files don't count.
  if (DIR* stream = ::opendir(path.c_str())) {
    while (dirent* entry = ::readdir(stream)) {
      if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
        RemoveOne(absl::StrCat(path, "/", std::string(entry->d_name))).IgnoreError();
    }
    ::closedir(stream);
  }
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cgroup ", path, " is busy"));
}

std::vector<pid_t> ReadProcs(const std::string& file) {
  std::vector<pid_t> pids;
  absl::StatusOr<std::string> content = ReadFile(file);
  if (!content.ok()) return pids;
  for (const auto line : absl::StrSplit(*content, '\n', absl::SkipEmpty())) {
    int pid = 0;
    if (absl::SimpleAtoi(line, &pid) && pid > 0) pids.push_back(pid);
  }
  return pids;
}

/// Kills `pid` only if it still is in `path`: the number may have been given to another process meanwhile.
void KillMember(pid_t pid, const std::string& path) {
  UniqueFd pidfd(PidfdOpen(pid));
  if (!pidfd.valid()) return;
  absl::StatusOr<std::string> member = ReadFile(absl::StrCat("/proc/", pid, "/cgroup"));
  if (member.ok() && member->find(absl::StrCat(":", path)) != std::string::npos) PidfdSignal(pidfd.get(), SIGKILL);
}

}  // namespace

std::uint64_t CpuWeight(std::uint64_t shares) {
  std::uint64_t bounded = std::clamp<std::uint64_t>(shares, 2, 262144);
  return 1 + (bounded - 2) * 9999 / 262142;
}

absl::StatusOr<std::unique_ptr<CgroupTree>> CgroupTree::Open(const std::string& root) {
  std::unique_ptr<CgroupTree> tree(new CgroupTree);
  tree->root_ = root.empty() || root[0] != '/' ? absl::StrCat("/", root) : root;
  ASSIGN_OR_RETURN(std::string mounts, ReadFile("/proc/self/mountinfo", 16 << 20));
  std::string unified;
  for (const auto line : absl::StrSplit(mounts, '\n', absl::SkipEmpty())) {
    std::vector<std::string> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2) continue;
    std::vector<std::string> left = absl::StrSplit(halves[0], ' ');
    std::vector<std::string> right = absl::StrSplit(halves[1], ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    if (right[0] == "cgroup2" && unified.empty()) unified = left[4];
    if (right[0] != "cgroup") continue;
    Hierarchy hierarchy;
    hierarchy.mount = left[4];
    for (const auto option : absl::StrSplit(right[2], ',')) {
      std::string name(option);
      if (Wanted(name) || name == "cpuset") hierarchy.controllers.push_back(name);
    }
    if (hierarchy.controllers.empty()) continue;
    hierarchy.optional = hierarchy.controllers == std::vector<std::string>{"cpuset"};
    hierarchy.name = absl::StrJoin(hierarchy.controllers, ",");
    bool known = std::any_of(tree->hierarchies_.begin(), tree->hierarchies_.end(),
                             [&](const Hierarchy& other) { return other.name == hierarchy.name; });
    if (!known) tree->hierarchies_.push_back(std::move(hierarchy));
  }
  if (tree->hierarchies_.empty()) {
    if (unified.empty()) return absl::FailedPreconditionError("no cgroup file system is mounted");
    tree->mode_ = CgroupMode::kV2;
    tree->hierarchies_.push_back({unified, "", {}, false});
  } else {
    tree->mode_ = unified.empty() ? CgroupMode::kV1 : CgroupMode::kHybrid;
    if (tree->Find("memory") == nullptr || tree->Find("cpu") == nullptr)
      return absl::FailedPreconditionError("cgroup version 1 without the cpu or memory controller");
  }
  std::string part;
  for (const auto name : absl::StrSplit(tree->root_, '/', absl::SkipEmpty())) {
    if (tree->v2()) RETURN_IF_ERROR(tree->EnableControllers(part));
    absl::StrAppend(&part, "/", name);
    RETURN_IF_ERROR(tree->Create(part, Kind::kInner));
  }
  for (const char* name : {"burstable", "besteffort"})
    RETURN_IF_ERROR(tree->Create(absl::StrCat(tree->root_, "/", name), Kind::kInner));
  RETURN_IF_ERROR(tree->Create(tree->WardensPath(), Kind::kLeaf));
  return tree;
}

const CgroupTree::Hierarchy* CgroupTree::Find(std::string_view controller) const {
  if (v2()) return &hierarchies_[0];
  for (const Hierarchy& hierarchy : hierarchies_) {
    for (const std::string& name : hierarchy.controllers) {
      if (name == controller) return &hierarchy;
    }
  }
  return nullptr;
}

std::string CgroupTree::Describe() const {
  if (v2()) return absl::StrCat("version 2 at ", hierarchies_[0].mount);
  std::vector<std::string> names;
  for (const Hierarchy& hierarchy : hierarchies_) names.push_back(hierarchy.name);
  return absl::StrCat(mode_ == CgroupMode::kHybrid ? "version 1, hybrid (" : "version 1 (", absl::StrJoin(names, ", "),
                      ")");
}

std::vector<std::string> CgroupTree::V1MountNames() const {
  std::vector<std::string> names;
  if (v2()) return names;
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (!hierarchy.optional) names.push_back(hierarchy.name);
  }
  return names;
}

std::string CgroupTree::PodPath(QosClass qos, const std::string& pod_id) const {
  const char* folder = qos == QosClass::kGuaranteed ? "" : qos == QosClass::kBurstable ? "/burstable" : "/besteffort";
  return absl::StrCat(root_, folder, "/pod", pod_id);
}

std::string CgroupTree::WardensPath() const { return absl::StrCat(root_, "/wardens"); }

std::string CgroupTree::File(std::string_view controller, const std::string& path, std::string_view file) const {
  const Hierarchy* hierarchy = Find(controller);
  if (hierarchy == nullptr) return "";
  return absl::StrCat(hierarchy->mount, path, "/", std::string(file));
}

absl::Status CgroupTree::Set(std::string_view controller, const std::string& path, std::string_view file,
                             const std::string& value) const {
  std::string name = File(controller, path, file);
  if (name.empty()) return absl::UnimplementedError(absl::StrCat("no cgroup controller ", std::string(controller)));
  return Annotate(WriteFile(name, value), absl::StrCat("set to ", value));
}

absl::Status CgroupTree::EnableControllers(const std::string& directory) const {
  std::string base = absl::StrCat(hierarchies_[0].mount, directory);
  ASSIGN_OR_RETURN(std::string available, ReadFile(absl::StrCat(base, "/cgroup.controllers")));
  std::string add;
  for (const auto name : absl::StrSplit(available, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    for (const char* wanted : {"cpu", "memory", "pids", "cpuset", "hugetlb", "io"}) {
      if (name == wanted) absl::StrAppend(&add, add.empty() ? "+" : " +", name);
    }
  }
  return add.empty() ? absl::OkStatus() : WriteFile(absl::StrCat(base, "/cgroup.subtree_control"), add);
}

absl::Status CgroupTree::Create(const std::string& path, Kind kind) const {
  const Timed timed(observer_, "create");
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (!hierarchy.optional) RETURN_IF_ERROR(MakeOne(hierarchy.mount + path));
  }
  return v2() && kind == Kind::kInner ? EnableControllers(path) : absl::OkStatus();
}

absl::Status CgroupTree::EnsureCpuset(const std::string& path) const {
  if (v2()) return absl::OkStatus();
  const Hierarchy* hierarchy = Find("cpuset");
  if (hierarchy == nullptr) return absl::UnimplementedError("no cgroup controller cpuset");
  std::string at = hierarchy->mount;
  for (const auto name : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    std::string parent = at;
    absl::StrAppend(&at, "/", name);
    RETURN_IF_ERROR(MakeOne(at));
    // A new cpuset of version 1 is empty and takes no process until it has processors and memory nodes.
    for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
      ASSIGN_OR_RETURN(std::string own, ReadFile(at + file));
      if (own.size() > 1) continue;
      ASSIGN_OR_RETURN(std::string inherited, ReadFile(parent + file));
      RETURN_IF_ERROR(WriteFile(at + file, inherited));
    }
  }
  return absl::OkStatus();
}

absl::Status CgroupTree::SetCpu(const std::string& path, const Resources& resources) const {
  if (resources.cpu_shares.has_value()) {
    RETURN_IF_ERROR(
        v2() ? Set("cpu", path, "cpu.weight", absl::StrCat(CpuWeight(*resources.cpu_shares)))
             : Set("cpu", path, "cpu.shares", absl::StrCat(std::max<std::uint64_t>(2, *resources.cpu_shares))));
  }
  std::uint64_t period = resources.cpu_period_us.value_or(100000);
  if (!resources.cpu_quota_us.has_value() && !resources.cpu_period_us.has_value()) return absl::OkStatus();
  std::int64_t quota = resources.cpu_quota_us.value_or(-1);
  if (quota > 0 && quota < 1000) quota = 1000;  // the kernel's least
  if (v2()) {
    return Set("cpu", path, "cpu.max", absl::StrCat(quota > 0 ? absl::StrCat(quota) : "max", " ", period));
  }
  RETURN_IF_ERROR(Set("cpu", path, "cpu.cfs_period_us", absl::StrCat(period)));
  return Set("cpu", path, "cpu.cfs_quota_us", absl::StrCat(quota > 0 ? quota : -1));
}

absl::Status CgroupTree::SetMemoryV1(const std::string& path, const Resources& resources, bool swap_allowed) const {
  if (!resources.memory_limit_bytes.has_value()) return absl::OkStatus();
  std::int64_t limit = *resources.memory_limit_bytes;
  std::int64_t both = limit > 0 ? limit + resources.memory_swap_bytes.value_or(0) : -1;
  bool has_swap = Exists(File("memory", path, "memory.memsw.limit_in_bytes"));
  // The limit must never be above that of memory and swap together, so their order depends on the direction.
  absl::Status first = Set("memory", path, "memory.limit_in_bytes", absl::StrCat(limit));
  if (!has_swap || swap_allowed) return first;
  RETURN_IF_ERROR(Set("memory", path, "memory.memsw.limit_in_bytes", absl::StrCat(both)));
  return first.ok() ? first : Set("memory", path, "memory.limit_in_bytes", absl::StrCat(limit));
}

absl::Status CgroupTree::SetMemoryV2(const std::string& path, const Resources& resources, bool swap_allowed) const {
  auto bytes = [](std::int64_t value) { return value < 0 ? std::string("max") : absl::StrCat(value); };
  if (resources.memory_min_bytes.has_value())
    RETURN_IF_ERROR(Set("memory", path, "memory.min", bytes(*resources.memory_min_bytes)));
  if (resources.memory_low_bytes.has_value())
    RETURN_IF_ERROR(Set("memory", path, "memory.low", bytes(*resources.memory_low_bytes)));
  if (resources.memory_high_bytes.has_value())
    RETURN_IF_ERROR(Set("memory", path, "memory.high", bytes(*resources.memory_high_bytes)));
  if (resources.memory_limit_bytes.has_value())
    RETURN_IF_ERROR(Set("memory", path, "memory.max", bytes(*resources.memory_limit_bytes)));
  bool has_swap = Exists(File("memory", path, "memory.swap.max"));
  if (has_swap && resources.memory_swap_bytes.has_value())
    return Set("memory", path, "memory.swap.max", bytes(*resources.memory_swap_bytes));
  if (has_swap && !swap_allowed && resources.memory_limit_bytes.has_value())
    return Set("memory", path, "memory.swap.max", "0");
  return absl::OkStatus();
}

absl::Status CgroupTree::SetResources(const std::string& path, const Resources& resources, bool swap_allowed) const {
  const Timed timed(observer_, "update");
  RETURN_IF_ERROR(SetCpu(path, resources));
  RETURN_IF_ERROR(v2() ? SetMemoryV2(path, resources, swap_allowed) : SetMemoryV1(path, resources, swap_allowed));
  if (resources.pids_limit.has_value()) {
    std::int64_t limit = *resources.pids_limit;
    RETURN_IF_ERROR(Set("pids", path, "pids.max", limit > 0 ? absl::StrCat(limit) : "max"));
  }
  if (resources.cpuset_cpus.has_value()) {
    RETURN_IF_ERROR(EnsureCpuset(path));
    RETURN_IF_ERROR(Set("cpuset", path, "cpuset.cpus", *resources.cpuset_cpus));
  }
  for (const auto& [size, limit] : resources.hugepage_limits) {
    std::string file = absl::StrCat("hugetlb.", size, v2() ? ".max" : ".limit_in_bytes");
    if (limit == 0 && !Exists(File("hugetlb", path, file))) continue;
    RETURN_IF_ERROR(Set("hugetlb", path, file, absl::StrCat(limit)));
  }
  return absl::OkStatus();
}

absl::Status CgroupTree::SetOomGroup(const std::string& path) const {
  return v2() ? Set("memory", path, "memory.oom.group", "1") : absl::OkStatus();
}

absl::Status CgroupTree::AllowDevices(const std::string& path, const std::vector<DeviceRule>& rules) {
  if (!v2()) {
    if (Find("devices") == nullptr) return absl::FailedPreconditionError("no cgroup controller devices");
    RETURN_IF_ERROR(Set("devices", path, "devices.deny", "a"));
    for (const DeviceRule& rule : rules) RETURN_IF_ERROR(Set("devices", path, "devices.allow", FormatDeviceRule(rule)));
    return absl::OkStatus();
  }
  std::string key;
  for (const DeviceRule& rule : rules) absl::StrAppend(&key, FormatDeviceRule(rule), ";");
  std::lock_guard<std::mutex> lock(programs_mutex_);
  auto found = programs_.find(key);
  if (found == programs_.end()) {
    ASSIGN_OR_RETURN(UniqueFd program, LoadDeviceProgram(rules));
    found = programs_.emplace(key, std::move(program)).first;
  }
  UniqueFd directory(::open((hierarchies_[0].mount + path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ErrnoError(errno, absl::StrCat("cgroup ", path));
  return AttachDeviceProgram(directory.get(), found->second.get());
}

absl::StatusOr<std::vector<UniqueFd>> CgroupTree::OpenProcs(const std::string& path) const {
  std::vector<UniqueFd> files;
  for (const Hierarchy& hierarchy : hierarchies_) {
    std::string name = absl::StrCat(hierarchy.mount, path, "/cgroup.procs");
    UniqueFd file(::open(name.c_str(), O_WRONLY | O_CLOEXEC));
    if (file.valid()) {
      files.push_back(std::move(file));
    } else if (!hierarchy.optional || errno != ENOENT) {
      return ErrnoError(errno, absl::StrCat("open ", name));
    }
  }
  return files;
}

absl::Status CgroupTree::Join(const std::string& path, pid_t pid) const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    std::string name = absl::StrCat(hierarchy.mount, path, "/cgroup.procs");
    if (hierarchy.optional && !Exists(name)) continue;
    RETURN_IF_ERROR(WriteFile(name, absl::StrCat(pid)));
  }
  return absl::OkStatus();
}

absl::Status CgroupTree::KillAll(const std::string& path) const {
  if (v2()) {
    absl::Status killed = Set("memory", path, "cgroup.kill", "1");
    return absl::IsNotFound(killed) ? absl::OkStatus() : killed;
  }
  // Whoever forks while we read shows up in the next reading.
  std::string procs = File("memory", path, "cgroup.procs");
  for (int round = 0; round < 64; ++round) {
    std::vector<pid_t> pids = ReadProcs(procs);
    if (pids.empty()) break;
    for (pid_t pid : pids) KillMember(pid, path);
  }
  for (const std::string& child : Children(path)) RETURN_IF_ERROR(KillAll(absl::StrCat(path, "/", child)));
  return absl::OkStatus();
}

std::vector<std::string> CgroupTree::Children(const std::string& path) const {
  std::vector<std::string> names;
  const Hierarchy* hierarchy = Find("memory");
  if (DIR* stream = ::opendir((hierarchy->mount + path).c_str())) {
    while (dirent* entry = ::readdir(stream)) {
      if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    }
    ::closedir(stream);
  }
  return names;
}

absl::Status CgroupTree::Remove(const std::string& path) const {
  const Timed timed(observer_, "destroy");
  absl::Status first;
  for (const Hierarchy& hierarchy : hierarchies_) {
    absl::Status removed = RemoveOne(hierarchy.mount + path);
    if (first.ok()) first = removed;
  }
  return first;
}

absl::Status CgroupTree::RemoveRoot() const { return Remove(root_); }

}  // namespace burstlet::sandbox
