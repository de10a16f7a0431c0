#include "provider/cni/cni_network.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/cni/cni_bandwidth.h"
#include "provider/cni/cni_request.h"
#include "provider/cni/cni_result.h"
#include "sandbox/net/links.h"
#include "sandbox/net/netns.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::provider {
namespace {

constexpr const char* kInterface = "eth0";
constexpr std::size_t kLongestAnswer = 1 << 20;

/// A name for the namespace that other processes can open, and that outlives the agent.
absl::Status NameNamespace(int netns_fd, const std::string& path) {
  RETURN_IF_ERROR(sandbox::MakeDirectory(path.substr(0, path.rfind('/')), 0755));
  const sandbox::UniqueFd file(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444));
  if (!file.valid()) return ErrnoError(errno, path);
  if (mount(absl::StrCat("/proc/self/fd/", netns_fd).c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return ErrnoError(errno, absl::StrCat("naming the network namespace ", path));
  }
  return absl::OkStatus();
}

absl::Status ForgetNamespace(const std::string& path) {
  if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT) {
    return ErrnoError(errno, absl::StrCat("unmounting ", path));
  }
  return unlink(path.c_str()) == 0 || errno == ENOENT ? absl::OkStatus() : ErrnoError(errno, path);
}

/// After a reboot the file may be there without a namespace behind it.
bool IsNamespace(const std::string& path) {
  const sandbox::UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct statfs about;
  return file.valid() && fstatfs(file.get(), &about) == 0 && about.f_type == NSFS_MAGIC;
}

CniCall CallOf(const char* command, const CniRecord& record, const std::string& type) {
  CniCall call;
  call.command = command;
  call.type = type;
  call.container_id = record.id;
  call.netns = record.netns;
  call.interface = kInterface;
  call.args = record.args;
  return call;
}

/// A plugin that is not there, of a network that was never finished, has made nothing: its ADD failed for the same
/// reason. And some plugins complain of what is gone already, or of the namespace that is (as containerd has it).
bool NothingToTakeDown(const absl::Status& failed, const CniRecord& record) {
  if (absl::IsNotFound(failed)) return !record.result.IsObject();
  if (absl::StrContains(failed.message(), "not found")) return true;
  return record.netns.empty() && absl::StrContains(failed.message(), "no such file or directory");
}

absl::Status TestNetwork(const CniRunner& runner, const CniNetworkConfig& config) {
  if (!CniVersionAtLeast(config.version, 1, 1)) return absl::OkStatus();  // STATUS came with 1.1.0
  for (const CniPluginConfig& plugin : config.plugins) {
    CniCall call;
    call.command = "STATUS";
    call.type = plugin.type;
    call.config = CniStdin(config, plugin, {}, {});
    RETURN_IF_ERROR(runner.Run(call).status());
  }
  return absl::OkStatus();
}

}  // namespace

CniNetwork::CniNetwork(CniNetworkOptions options)
    : options_(std::move(options)),
      runner_{options_.bin_dirs, options_.plugin_time_limit},
      records_(options_.records_dir) {}

absl::StatusOr<std::unique_ptr<CniNetwork>> CniNetwork::Open(CniNetworkOptions options) {
  std::unique_ptr<CniNetwork> network(new CniNetwork(std::move(options)));
  RETURN_IF_ERROR(network->records_.Open());
  const auto test = [runner = network->runner_](const CniNetworkConfig& config) { return TestNetwork(runner, config); };
  const auto changed = [callback = network->options_.changed] {
    if (callback) callback();
  };
  ASSIGN_OR_RETURN(network->watch_, CniWatch::Start(network->options_.conf_dir, test, changed));
  network->thread_ = std::thread([raw = network.get()] { raw->Retry(); });
  return network;
}

CniNetwork::~CniNetwork() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::string CniNetwork::NotReady() const {
  const CniWatch::Config config = watch_->Current();
  if (config.ok()) return "";
  return absl::StrCat(
      "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin "
      "returns error: ",
      std::string(config.status().message()));
}

absl::Status CniNetwork::Add(CniRecord& record) const {
  cache::Json result;
  for (const CniPluginConfig& plugin : record.config.plugins) {
    CniCall call = CallOf("ADD", record, plugin.type);
    call.config = CniStdin(record.config, plugin, record.runtime, result);
    ASSIGN_OR_RETURN(const std::string answer, runner_.Run(call));
    absl::StatusOr<cache::Json> json = cache::ParseJson(answer, kLongestAnswer);
    if (!json.ok()) return Annotate(json.status(), absl::StrCat("plugin type=\"", plugin.type, "\" (add): result: "));
    result = *std::move(json);
  }
  record.result = std::move(result);
  return records_.Write(record);
}

absl::StatusOr<sandbox::PodAddresses> CniNetwork::AttachPod(int netns_fd, const sandbox::SandboxSpec& spec) {
  const std::string failed = absl::StrCat("failed to setup network for sandbox \"", spec.id, "\"");
  const CniWatch::Config config = watch_->Current();
  if (!config.ok()) return Annotate(config.status(), failed);
  CniRecord record;
  record.id = spec.id;
  record.netns = options_.netns_prefix + spec.id;
  record.args = CniArgs(spec);
  record.config = **config;
  const CniLimits limits = ShareLimits(**config, sandbox::BandwidthOf(spec.labels), [&] { return HasIfb(netns_fd); });
  record.runtime = CniRuntimeConfig(spec, options_.pod_cidrs, limits.plugins);
  // What an earlier sandbox of the same pod still owes comes first.
  RETURN_IF_ERROR(Annotate(Delete(spec.id), failed));
  {
    const std::lock_guard lock(mutex_);
    held_.insert(spec.id);
  }
  RETURN_IF_ERROR(records_.Write(record));
  absl::Status status = NameNamespace(netns_fd, record.netns);
  if (status.ok()) {
    status = sandbox::RunInNetworkNamespace(netns_fd, [] {
      ASSIGN_OR_RETURN(sandbox::Links inside, sandbox::Links::Open());
      return inside.BringUpLoopback();
    });
  }
  if (status.ok()) status = Add(record);
  if (status.ok()) status = LimitByNode(netns_fd, kInterface, limits.node);
  if (status.ok()) {
    const absl::StatusOr<sandbox::PodAddresses> addresses = PodAddressesOf(record.result, kInterface);
    if (addresses.ok()) return addresses;
    status = addresses.status();
  }
  LogIfError(Detach(spec.id), "Failed to take down a CNI network that was not finished");
  return Annotate(status, failed);
}

absl::StatusOr<sandbox::PodAddresses> CniNetwork::Attach(int, const std::string& owner) {
  return absl::FailedPreconditionError(absl::StrCat(owner, ": CNI networks are made for pods alone"));
}

absl::Status CniNetwork::Rename(const std::string&, const std::string&) { return absl::OkStatus(); }

absl::Status CniNetwork::Reserve(const std::string& owner, const sandbox::PodAddresses&) {
  const std::lock_guard lock(mutex_);
  held_.insert(owner);
  return absl::OkStatus();
}

// Ports are the plugin portmap's, which has them since ADD.
absl::Status CniNetwork::AddHostPorts(const std::string&, const std::vector<sandbox::SandboxSpec::HostPort>&) {
  return absl::OkStatus();
}

absl::Status CniNetwork::Delete(const std::string& id) {
  absl::StatusOr<CniRecord> record = records_.Read(id);
  if (absl::IsNotFound(record.status())) return absl::OkStatus();
  if (!record.ok()) {
    // Nothing says what to run: better the rest of the node goes on.
    LogIfError(record.status(), "Removed the record of a CNI network");
    RETURN_IF_ERROR(ForgetNamespace(options_.netns_prefix + id));
    return records_.Remove(id);
  }
  CniRecord told = *record;
  if (!IsNamespace(told.netns)) told.netns.clear();
  for (auto plugin = record->config.plugins.rbegin(); plugin != record->config.plugins.rend(); ++plugin) {
    CniCall call = CallOf("DEL", told, plugin->type);
    // DEL has known the result since 0.4.0.
    const bool knows = CniVersionAtLeast(record->config.version, 0, 4);
    call.config = CniStdin(record->config, *plugin, record->runtime, knows ? record->result : cache::Json());
    const absl::Status status = runner_.Run(call).status();
    if (status.ok() || NothingToTakeDown(status, told)) continue;
    return status;
  }
  RETURN_IF_ERROR(ForgetNamespace(record->netns));
  return records_.Remove(id);
}

absl::Status CniNetwork::Detach(const std::string& owner) {
  absl::Status status = Delete(owner);
  {
    const std::lock_guard lock(mutex_);
    held_.erase(owner);
    if (!status.ok()) owed_.insert(owner);
  }
  if (!status.ok()) wake_.notify_all();
  return Annotate(status, absl::StrCat("failed to destroy network for sandbox \"", owner, "\""));
}

void CniNetwork::Retry() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (owed_.empty()) {
      wake_.wait(lock);
      continue;
    }
    wake_.wait_for(lock, options_.retry, [this] { return stopping_; });
    const std::set<std::string> owed = std::exchange(owed_, {});
    for (const std::string& id : owed) {
      if (stopping_ || held_.contains(id)) continue;
      lock.unlock();
      const absl::Status status = Delete(id);
      LogIfError(status, "Failed again to take down a pod's CNI network");
      lock.lock();
      if (!status.ok()) owed_.insert(id);
    }
  }
}

absl::Status CniNetwork::CollectGarbage(const CniNetworkConfig& config, const std::vector<std::string>& ids) const {
  if (!CniVersionAtLeast(config.version, 1, 1)) return absl::OkStatus();  // GC came with 1.1.0
  cache::Json valid = cache::Json::Array();
  for (const std::string& id : ids) {
    cache::Json attachment = cache::Json::Object();
    attachment.object["containerID"] = id;
    attachment.object["ifname"] = kInterface;
    valid.array.push_back(std::move(attachment));
  }
  absl::Status first = absl::OkStatus();
  for (const CniPluginConfig& plugin : config.plugins) {
    CniPluginConfig with_list = plugin;
    with_list.json.object["cni.dev/valid-attachments"] = valid;
    CniCall call;
    call.command = "GC";
    call.type = plugin.type;
    call.config = CniStdin(config, with_list, {}, {});
    const absl::Status status = runner_.Run(call).status();
    if (first.ok()) first = status;
  }
  return first;
}

absl::Status CniNetwork::SweepInterfaces() {
  for (const std::string& id : records_.Ids()) {
    {
      const std::lock_guard lock(mutex_);
      if (held_.contains(id)) continue;
    }
    LogIfError(Detach(id), "Failed to take down the CNI network of a pod that is gone");
  }
  const CniWatch::Config config = watch_->Current();
  return config.ok() ? CollectGarbage(**config, records_.Ids()) : absl::OkStatus();
}

absl::Status CniNetwork::Close() {
  absl::Status first = absl::OkStatus();
  for (const std::string& id : records_.Ids()) {
    const absl::Status status = Detach(id);
    if (first.ok()) first = status;
  }
  return first;
}

}  // namespace burstlet::provider
