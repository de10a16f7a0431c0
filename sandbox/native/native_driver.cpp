#include "sandbox/native/native_driver.h"

#include <dirent.h>
#include <sys/stat.h>

#include <cerrno>
#include <set>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/native/native_sandbox.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::sandbox {
namespace {

std::vector<std::string> Names(const std::string& directory) {
  std::vector<std::string> names;
  if (DIR* stream = ::opendir(directory.c_str())) {
    while (dirent* entry = ::readdir(stream)) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    ::closedir(stream);
  }
  return names;
}

class NativeDriver : public SandboxDriver {
 public:
  explicit NativeDriver(std::unique_ptr<NativeContext> context) : context_(std::move(context)) {}
  ~NativeDriver() override { context_->pool.reset(); }

  absl::StatusOr<std::unique_ptr<Sandbox>> Create(const SandboxSpec& spec) override {
    return NativeSandbox::Create(*context_, spec);
  }

  absl::StatusOr<std::vector<RecoveredSandbox>> Recover() override {
    std::vector<RecoveredSandbox> found;
    std::set<std::string> alive;
    for (const std::string& name : Names(context_->paths.Sandboxes())) {
      absl::StatusOr<RecoveredSandbox> recovered = RecoverOne(name);
      if (!recovered.ok()) {
        LogIfError(recovered.status(), "Swept the remains of a sandbox that was never finished");
        continue;
      }
      if (recovered->sandbox != nullptr) alive.insert(context_->cgroups->PodPath(recovered->spec.qos, name));
      found.push_back(*std::move(recovered));
    }
    SweepCgroups(alive);
    context_->janitor->SweepTrash();
    if (context_->network != nullptr)
      LogIfError(context_->network->SweepInterfaces(), "Failed to sweep network interfaces");
    context_->pool->Start();
    return found;
  }

  absl::StatusOr<ContainerStats> TotalUsage(StatsDetail detail) override {
    ContainerStats total;
    total.cgroup = context_->cgroups->root();
    ASSIGN_OR_RETURN(total.usage, context_->cgroups->Meter(total.cgroup).Read(detail));
    return total;
  }

 private:
  absl::StatusOr<RecoveredSandbox> RecoverOne(const std::string& name) {
    absl::StatusOr<std::string> bytes = ReadFile(context_->paths.Spec(name), 16 << 20);
    absl::StatusOr<SandboxState> state = bytes.ok() ? DecodeState(*bytes) : bytes.status();
    if (!state.ok() || state->spec.id != name) {
      LogIfError(context_->janitor->Discard(context_->paths.Sandbox(name)), "Failed to remove a directory");
      return state.ok() ? absl::DataLossError(absl::StrCat("record of ", name)) : state.status();
    }
    RecoveredSandbox recovered;
    recovered.spec = state->spec;
    absl::StatusOr<std::unique_ptr<Sandbox>> adopted = NativeSandbox::Adopt(*context_, *state);
    if (adopted.ok()) {
      recovered.sandbox = *std::move(adopted);
    } else {
      Info("Found a dead sandbox", {{"podUID", name}, {"err", std::string(adopted.status().message())}});
      NativeSandbox::Sweep(*context_, *state);
    }
    return recovered;
  }

  /// cgroups of pods that nobody owns: half-made or half-removed when the agent was killed.
  void SweepCgroups(const std::set<std::string>& alive) {
    for (QosClass qos : {QosClass::kGuaranteed, QosClass::kBurstable, QosClass::kBestEffort}) {
      std::string probe = context_->cgroups->PodPath(qos, "");
      std::string folder = probe.substr(0, probe.rfind('/'));
      for (const std::string& name : context_->cgroups->Children(folder)) {
        std::string path = absl::StrCat(folder, "/", name);
        if (name.rfind("pod", 0) != 0 || alive.count(path) != 0) continue;
        LogIfError(context_->cgroups->KillAll(path), "Failed to kill what is left in a pod's cgroup");
        for (const std::string& child : context_->cgroups->Children(path))
          context_->janitor->RemoveCgroup(absl::StrCat(path, "/", child));
        context_->janitor->RemoveCgroup(path);
      }
    }
  }

  std::unique_ptr<NativeContext> context_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SandboxDriver>> OpenNativeDriver(const NativeDriverConfig& config) {
  auto context = std::make_unique<NativeContext>();
  context->paths = Paths(config.root_dir);
  // 0700: nothing in here is for other users of the host (CVE-2021-41103).
  for (const std::string& path : {config.root_dir, context->paths.Sandboxes(), context->paths.Trash()}) {
    RETURN_IF_ERROR(MakeDirectory(path, 0700));
    if (path != config.root_dir && ::chmod(path.c_str(), 0700) != 0) return ErrnoError(errno, path);
  }
  ASSIGN_OR_RETURN(context->boot_id, BootId());
  ASSIGN_OR_RETURN(context->cgroups, CgroupTree::Open(config.cgroup_root));
  context->cgroups->Observe(config.cgroup_done);
  context->network = config.network;
  context->janitor = std::make_unique<Janitor>(context->paths, *context->cgroups);
  ASSIGN_OR_RETURN(context->pool,
                   WardenPool::Open({config.warden_path, config.pool_size}, *context->cgroups, config.network));
  return std::make_unique<NativeDriver>(std::move(context));
}

}  // namespace burstlet::sandbox
