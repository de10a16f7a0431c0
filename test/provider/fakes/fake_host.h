// A host for pod workers without a kernel: sandboxes that outlive their agents, calls that can stall, fail or die.
//
// FakeHost is what a real host keeps when its agent is killed; FakeSandboxDriver and FakeSandbox are one agent's way to
// it. Each effect is a step: a test may stall a step, or let the agent die before or after it. Threads: any.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sandbox/sandbox.h"

namespace burstlet::provider::test {

inline std::int64_t WallNow() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class FakeHost {
 public:
  struct Box {
    sandbox::SandboxSpec spec;
    std::map<std::string, sandbox::ContainerState> containers;  // by id
    std::vector<sandbox::ContainerState> pending;               // events not read yet
    int event_fd = -1;                                          // of the agent that watches
    bool dead = false;
  };

  // --- what tests set. Container names are unique in a test.
  /// Exit codes of runs that end before Start returns.
  std::map<std::string, std::vector<int>> short_runs;
  std::map<std::string, std::string> volume_directories;
  /// The specs of the newest starts, by container name.
  std::map<std::string, sandbox::ContainerSpec> specs;
  /// Errors of the next starts.
  std::map<std::string, std::vector<absl::Status>> start_errors;
  /// Containers that take no notice of their stop signal.
  std::set<std::string> stubborn;
  /// The exit code of those that do.
  int stop_code = 0;
  /// What every cgroup uses, and the limit that the newest pod's was resized to.
  std::uint64_t memory_in_use = 0;
  std::int64_t pod_memory = 0;

  // --- steps
  /// Called by every fake before and after an effect; false: the agent is dead and nothing happens any more.
  bool Step(const std::string& what) {
    std::unique_lock lock(mutex_);
    if (agent_dead_) return false;
    steps_.push_back(what);
    if (die_at_ > 0 && static_cast<int>(steps_.size()) == die_at_) {
      agent_dead_ = true;
      died_at_ = what;
      wake_.notify_all();
      if (on_death_) on_death_();
      return false;
    }
    wake_.wait(lock, [&] { return agent_dead_ || stalls_.count(what) == 0; });
    return !agent_dead_;
  }
  void DieAt(int step, std::function<void()> on_death) {
    const std::lock_guard lock(mutex_);
    steps_.clear();
    die_at_ = step;
    agent_dead_ = false;
    died_at_.clear();
    on_death_ = std::move(on_death);
  }
  void Kill() {
    const std::lock_guard lock(mutex_);
    agent_dead_ = true;
    wake_.notify_all();
  }
  void Revive() {
    const std::lock_guard lock(mutex_);
    agent_dead_ = false;
    die_at_ = 0;
    stalls_.clear();
    on_death_ = {};
    for (auto& [id, box] : boxes_) box.event_fd = -1;
  }
  bool agent_dead() const {
    const std::lock_guard lock(mutex_);
    return agent_dead_;
  }
  std::string died_at() const {
    const std::lock_guard lock(mutex_);
    return died_at_;
  }
  void Stall(const std::string& step) {
    const std::lock_guard lock(mutex_);
    stalls_.insert(step);
  }
  void Release(const std::string& step) {
    const std::lock_guard lock(mutex_);
    stalls_.erase(step);
    wake_.notify_all();
  }
  bool Reached(const std::string& step) const { return Count(step) > 0; }
  int Count(const std::string& step) const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(std::count(steps_.begin(), steps_.end(), step));
  }
  std::vector<std::string> steps() const {
    const std::lock_guard lock(mutex_);
    return steps_;
  }

  // --- what happens on the host by itself
  void Exit(const std::string& name, int code, bool oom = false) {
    const std::lock_guard lock(mutex_);
    ExitLocked(name, code, 0, oom);
  }
  void KillSandbox(const std::string& uid) {
    const std::lock_guard lock(mutex_);
    Box& box = boxes_.at(uid);
    box.dead = true;
    Ring(box);
  }
  /// Another boot: nothing runs any more.
  void Reboot() {
    const std::lock_guard lock(mutex_);
    boxes_.clear();
  }

  // --- what tests look at
  bool Running(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [uid, box] : boxes_) {
      if (box.dead) continue;
      for (const auto& [id, state] : box.containers) {
        if (state.name == name && state.phase == sandbox::ContainerPhase::kRunning) return true;
      }
    }
    return false;
  }
  int Starts(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto it = starts_.find(name);
    return it == starts_.end() ? 0 : it->second;
  }
  /// Whose pid namespace the newest run of `name` joined: the name of a container, or "".
  std::string PidTarget(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto it = pid_targets_.find(name);
    if (it == pid_targets_.end()) return "";
    for (const auto& [uid, box] : boxes_) {
      const auto state = box.containers.find(it->second);
      if (state != box.containers.end()) return state->second.name;
    }
    return it->second;
  }
  std::size_t sandboxes() const {
    const std::lock_guard lock(mutex_);
    return boxes_.size();
  }

 private:
  friend class FakeSandbox;
  friend class FakeSandboxDriver;

  void Ring(const Box& box) {
    const std::uint64_t one = 1;
    if (box.event_fd >= 0) (void)!write(box.event_fd, &one, sizeof(one));
  }
  void End(Box& box, sandbox::ContainerState& state, int code, int signal, bool oom) {
    state.phase = sandbox::ContainerPhase::kExited;
    state.pid = 0;
    state.exit_code = code;
    state.signal = signal;
    state.oom_killed = oom;
    state.finished_at = WallNow();
    box.pending.push_back(state);
    Ring(box);
  }
  void ExitLocked(const std::string& name, int code, int signal, bool oom) {
    for (auto& [uid, box] : boxes_) {
      for (auto& [id, state] : box.containers) {
        if (state.name != name || state.phase != sandbox::ContainerPhase::kRunning) continue;
        End(box, state, code, signal, oom);
      }
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, Box> boxes_;  // by pod UID
  std::map<std::string, int> starts_;
  std::map<std::string, std::string> pid_targets_;  // ids, by the name of what joined
  std::vector<std::string> steps_;
  std::set<std::string> stalls_;
  int die_at_ = 0;
  bool agent_dead_ = false;
  std::string died_at_;
  std::function<void()> on_death_;
};

inline absl::Status AgentIsDead() { return absl::UnavailableError("the agent is dead"); }

class FakeSandbox : public sandbox::Sandbox {
 public:
  FakeSandbox(FakeHost& host, std::string id) : host_(host), id_(std::move(id)) {
    event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    network_.addresses = {"10.0.0.7"};
    const std::lock_guard lock(host_.mutex_);
    host_.boxes_.at(id_).event_fd = event_fd_;
    if (!host_.boxes_.at(id_).pending.empty()) host_.Ring(host_.boxes_.at(id_));
  }
  ~FakeSandbox() override {
    {
      const std::lock_guard lock(host_.mutex_);
      const auto box = host_.boxes_.find(id_);
      if (box != host_.boxes_.end() && box->second.event_fd == event_fd_) box->second.event_fd = -1;
    }
    close(event_fd_);
  }

  const std::string& id() const override { return id_; }
  const sandbox::SandboxNetwork& network() const override { return network_; }
  sandbox::UnixNanos created_at() const override { return 1; }

  absl::StatusOr<sandbox::ContainerState> Start(const sandbox::ContainerSpec& spec) override {
    if (!host_.Step("start " + spec.name)) return AgentIsDead();
    sandbox::ContainerState state;
    {
      const std::lock_guard lock(host_.mutex_);
      auto& errors = host_.start_errors[spec.name];
      if (!errors.empty()) {
        const absl::Status error = errors.front();
        errors.erase(errors.begin());
        return error;
      }
      const auto found = host_.boxes_.find(id_);
      if (found == host_.boxes_.end() || found->second.dead) return absl::UnavailableError("the sandbox is dead");
      ++host_.starts_[spec.name];
      host_.specs[spec.name] = spec;
      host_.pid_targets_[spec.name] = spec.pid_target;
      state.id = spec.id;
      state.name = spec.name;
      state.attempt = spec.attempt;
      state.phase = sandbox::ContainerPhase::kRunning;
      state.pid = 4711;
      state.started_at = WallNow();
      auto& stored = found->second.containers[spec.id] = state;
      auto& runs = host_.short_runs[spec.name];
      if (!runs.empty()) {
        host_.End(found->second, stored, runs.front(), 0, false);
        runs.erase(runs.begin());
      }
    }
    if (!host_.Step("started " + spec.name)) return AgentIsDead();
    return state;
  }
  absl::Status Signal(const std::string& container_id, int signal) override {
    const std::string name = NameOf(container_id);
    if (!host_.Step("signal " + name + " " + std::to_string(signal))) return AgentIsDead();
    const std::lock_guard lock(host_.mutex_);
    if (host_.stubborn.count(name) == 0) host_.ExitLocked(name, host_.stop_code, 0, false);
    return absl::OkStatus();
  }
  absl::Status Kill(const std::string& container_id) override {
    const std::string name = NameOf(container_id);
    if (!host_.Step("kill " + name)) return AgentIsDead();
    const std::lock_guard lock(host_.mutex_);
    host_.ExitLocked(name, 137, 9, false);
    return absl::OkStatus();
  }
  absl::StatusOr<sandbox::ExecStreams> Exec(const std::string&, const sandbox::ExecSpec&) override { return Unused(); }
  absl::StatusOr<sandbox::ExecStreams> Attach(const std::string&, bool) override { return Unused(); }
  absl::Status UpdateResources(const std::string& container_id, const sandbox::Resources& resources) override {
    return host_.Step(ResizeText(NameOf(container_id), resources)) ? absl::OkStatus() : AgentIsDead();
  }
  absl::Status UpdatePodResources(const sandbox::Resources& resources) override {
    if (!host_.Step(ResizeText("pod", resources))) return AgentIsDead();
    const std::lock_guard lock(host_.mutex_);
    if (resources.memory_limit_bytes) host_.pod_memory = *resources.memory_limit_bytes;
    return absl::OkStatus();
  }
  absl::Status ReopenLog(const std::string&) override { return Unused(); }
  absl::Status RemoveContainer(const std::string& container_id) override {
    if (!host_.Step("remove container " + NameOf(container_id))) return AgentIsDead();
    const std::lock_guard lock(host_.mutex_);
    const auto box = host_.boxes_.find(id_);
    if (box != host_.boxes_.end()) box->second.containers.erase(container_id);
    return absl::OkStatus();
  }
  absl::StatusOr<sandbox::SandboxStats> Stats(sandbox::StatsDetail) override {
    sandbox::SandboxStats stats;
    const std::lock_guard lock(host_.mutex_);
    const auto box = host_.boxes_.find(id_);
    if (box == host_.boxes_.end()) return absl::NotFoundError("no such sandbox");
    stats.pod.memory_usage_bytes = host_.memory_in_use;
    for (const auto& [id, state] : box->second.containers) {
      stats.containers.emplace_back();
      stats.containers.back().id = id;
      stats.containers.back().name = state.name;
      stats.containers.back().usage.memory_usage_bytes = host_.memory_in_use;
    }
    return stats;
  }
  /// Directories of the host that stand for volumes, by name.
  absl::StatusOr<int> OpenVolume(const std::string& name) override {
    const auto found = host_.volume_directories.find(name);
    if (found == host_.volume_directories.end()) return absl::NotFoundError("no volume " + name);
    return open(found->second.c_str(), O_PATH | O_CLOEXEC);
  }
  absl::StatusOr<int> NetworkNamespace() override { return Unused(); }

  int event_fd() const override { return event_fd_; }
  absl::StatusOr<std::vector<sandbox::ContainerState>> ReadEvents() override {
    std::uint64_t count = 0;
    (void)!read(event_fd_, &count, sizeof(count));
    const std::lock_guard lock(host_.mutex_);
    const auto box = host_.boxes_.find(id_);
    if (box == host_.boxes_.end()) return std::vector<sandbox::ContainerState>{};
    if (box->second.dead) return absl::UnavailableError("the warden is gone");
    return std::exchange(box->second.pending, {});
  }
  absl::StatusOr<std::vector<sandbox::ContainerState>> Containers() override {
    std::vector<sandbox::ContainerState> all;
    const std::lock_guard lock(host_.mutex_);
    for (const auto& [id, state] : host_.boxes_.at(id_).containers) all.push_back(state);
    return all;
  }
  absl::Status Remove() override {
    if (!host_.Step("remove sandbox")) return AgentIsDead();
    {
      const std::lock_guard lock(host_.mutex_);
      host_.boxes_.erase(id_);
    }
    if (!host_.Step("removed sandbox")) return AgentIsDead();
    return absl::OkStatus();
  }

 private:
  static std::string ResizeText(const std::string& who, const sandbox::Resources& resources) {
    if (resources.memory_limit_bytes) {
      return "resize " + who + " memory " + std::to_string(*resources.memory_limit_bytes);
    }
    return "resize " + who + " cpu " + (resources.cpu_shares ? std::to_string(*resources.cpu_shares) : "quota");
  }
  static absl::Status Unused() { return absl::UnimplementedError("not in this test"); }
  std::string NameOf(const std::string& container_id) const {
    const std::lock_guard lock(host_.mutex_);
    const auto box = host_.boxes_.find(id_);
    if (box == host_.boxes_.end()) return "?";
    const auto state = box->second.containers.find(container_id);
    return state == box->second.containers.end() ? "?" : state->second.name;
  }

  FakeHost& host_;
  const std::string id_;
  int event_fd_ = -1;
  sandbox::SandboxNetwork network_;
};

class FakeSandboxDriver : public sandbox::SandboxDriver {
 public:
  explicit FakeSandboxDriver(FakeHost& host) : host_(host) {}
  absl::StatusOr<std::unique_ptr<sandbox::Sandbox>> Create(const sandbox::SandboxSpec& spec) override {
    if (!host_.Step("create sandbox")) return AgentIsDead();
    {
      const std::lock_guard lock(host_.mutex_);
      // As a real host: what has not been removed is in the way.
      if (host_.boxes_.count(spec.id) != 0) return absl::AlreadyExistsError("a sandbox of that name exists");
      host_.boxes_[spec.id].spec = spec;
    }
    if (!host_.Step("created sandbox")) return AgentIsDead();
    return std::make_unique<FakeSandbox>(host_, spec.id);
  }
  absl::StatusOr<std::vector<sandbox::RecoveredSandbox>> Recover() override {
    std::vector<std::string> alive;
    {
      const std::lock_guard lock(host_.mutex_);
      std::erase_if(host_.boxes_, [](const auto& entry) { return entry.second.dead; });
      for (const auto& [uid, box] : host_.boxes_) alive.push_back(uid);
    }
    std::vector<sandbox::RecoveredSandbox> found;
    for (const std::string& uid : alive) {
      sandbox::RecoveredSandbox entry;
      entry.spec.id = uid;
      entry.sandbox = std::make_unique<FakeSandbox>(host_, uid);
      found.push_back(std::move(entry));
    }
    return found;
  }

 private:
  FakeHost& host_;
};

}  // namespace burstlet::provider::test
