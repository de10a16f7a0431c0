#include "provider/volumes/volume_manager.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/translate/environment.h"
#include "provider/volumes/node_tmpfs.h"
#include "provider/volumes/payload.h"
#include "provider/volumes/token_schedule.h"
#include "provider/volumes/volume_plan.h"

namespace burstlet::provider {
namespace {

using std::chrono::seconds;
using WallClock = std::chrono::system_clock;

// After a token could not be renewed; the old one is good for a while yet.
constexpr auto kTokenRetry = seconds(30);
// Timers run on a clock that stands still while the host sleeps: look at the wall clock now and then.
constexpr auto kLongestSleep = std::chrono::minutes(10);

/// One holder at a time, first come first served. Loop thread only.
class PodLock {
 public:
  kube::Task<void> Acquire(kube::Loop& loop) {
    if (!held_) {
      held_ = true;
      co_return;
    }
    auto turn = std::make_shared<kube::SignalEvent>(loop);
    waiters_.push_back(turn);
    co_await turn->Wait();
  }
  void Release() {
    if (waiters_.empty()) {
      held_ = false;
      return;
    }
    auto next = waiters_.front();
    waiters_.pop_front();
    next->Set();  // the lock stays held: it is handed over
  }

 private:
  bool held_ = false;
  std::deque<std::shared_ptr<kube::SignalEvent>> waiters_;
};

/// What is known of one pod's volumes.
struct PodState {
  explicit PodState(kube::Loop& loop) : timer(loop.context()) {}
  std::shared_ptr<const kube::Pod> pod;
  std::vector<std::string> pod_ips;
  bool mounted = false;
  bool removed = false;
  bool refresh_wanted = false;
  bool refreshing = false;
  std::map<TokenKey, ProjectedToken> tokens;
  PodLock lock;
  boost::asio::steady_timer timer;  // for the next token
};

/// Shared by the manager and its coroutines, so that one outliving the other is harmless.
struct Core {
  std::string root_dir;
  kube::Loop& loop;
  kube::WorkerPool& pool;
  kube::TaskGroup& tasks;
  ObjectSource& objects;
  const NodeInfo& node;
  std::map<std::string, std::shared_ptr<PodState>> pods;
  std::minstd_rand random{std::random_device{}()};
};

using CorePtr = std::shared_ptr<Core>;
using StatePtr = std::shared_ptr<PodState>;
using PodPtr = std::shared_ptr<const kube::Pod>;

// --- fetching -----------------------------------------------------------------------------------------------------

/// Requests under way; the last answer wakes the one who waits for all.
struct Fetch {
  explicit Fetch(kube::Loop& loop) : done(loop) {}
  std::size_t pending = 0;
  kube::SignalEvent done;
  VolumeObjectsSnapshot objects;
  std::map<TokenKey, absl::StatusOr<kube::TokenRequestStatus>> tokens;

  void Finish() {
    if (--pending == 0) done.Set();
  }
};

using FetchPtr = std::shared_ptr<Fetch>;

kube::Task<void> FetchConfigMap(CorePtr core, FetchPtr fetch, std::string name_space, std::string name) {
  auto object = co_await core->objects.GetConfigMap(name_space, name);
  fetch->objects.config_maps.emplace(name, std::move(object));
  fetch->Finish();
}

kube::Task<void> FetchSecret(CorePtr core, FetchPtr fetch, std::string name_space, std::string name) {
  auto object = co_await core->objects.GetSecret(name_space, name);
  fetch->objects.secrets.emplace(name, std::move(object));
  fetch->Finish();
}

kube::Task<void> FetchToken(CorePtr core, FetchPtr fetch, PodPtr pod, TokenKey key) {
  auto token = co_await core->objects.CreateToken(pod, key.first, key.second);
  fetch->tokens.emplace(key, std::move(token));
  fetch->Finish();
}

kube::Task<void> FetchAnchors(CorePtr core, FetchPtr fetch, TrustKey key) {
  auto anchors = co_await core->objects.GetTrustAnchors(key);
  fetch->objects.anchors.emplace(key, std::move(anchors));
  fetch->Finish();
}

kube::Task<void> FetchCertificate(CorePtr core, FetchPtr fetch, PodPtr pod, CertificateKey key) {
  auto bundle = co_await core->objects.GetPodCertificate(pod, key);
  fetch->objects.certificates.emplace(key, std::move(bundle));
  fetch->Finish();
}

/// All at once: a pod waits for the slowest answer, not for the sum.
kube::Task<FetchPtr> FetchAll(CorePtr core, StatePtr state, PodPtr pod) {
  auto fetch = std::make_shared<Fetch>(core->loop);
  const ObjectNames names = VolumeObjects(*pod);
  std::vector<TokenKey> keys = PodTokens(*pod);
  const WallTime now = WallClock::now();
  std::erase_if(keys, [&](const TokenKey& key) {
    auto known = state->tokens.find(key);
    return known != state->tokens.end() && now < known->second.refresh_at;
  });
  const std::vector<TrustKey> anchors = PodAnchors(*pod);
  const std::vector<CertificateKey> certificates = PodCertificateSources(*pod);
  fetch->pending = names.config_maps.size() + names.secrets.size() + keys.size() + anchors.size() + certificates.size();
  if (fetch->pending == 0) co_return fetch;
  const std::string& name_space = pod->metadata.namespace_;
  for (const auto& key : keys) core->tasks.Spawn("volume token", FetchToken(core, fetch, pod, key));
  for (const auto& key : anchors) core->tasks.Spawn("volume trust", FetchAnchors(core, fetch, key));
  for (const auto& key : certificates) {
    core->tasks.Spawn("volume certificate", FetchCertificate(core, fetch, pod, key));
  }
  for (const auto& name : names.config_maps) {
    core->tasks.Spawn("volume configMap", FetchConfigMap(core, fetch, name_space, name));
  }
  for (const auto& name : names.secrets) core->tasks.Spawn("volume secret", FetchSecret(core, fetch, name_space, name));
  co_await fetch->done.Wait();
  co_return fetch;
}

/// Takes new tokens in; a token that could not be renewed serves until it expires.
void TakeTokens(Core& core, PodState& state, const kube::Pod& pod, Fetch& fetch) {
  const WallTime now = WallClock::now();
  std::uniform_real_distribution<double> jitter(0, 1);
  for (const auto& [key, answer] : fetch.tokens) {
    if (answer.ok()) {
      state.tokens[key] = ScheduleToken(*answer, key.second, now, jitter(core.random));
      continue;
    }
    auto known = state.tokens.find(key);
    if (known != state.tokens.end() && now < known->second.expires) {
      Warn("Couldn't renew a service account token",
           {{"pod", kube::ObjectName(pod.metadata)}, {"err", std::string(answer.status().message())}});
      known->second.refresh_at = now + kTokenRetry;
      continue;
    }
    const bool expired = known != state.tokens.end();
    if (expired) known->second.refresh_at = now + kTokenRetry;
    fetch.objects.tokens.emplace(
        key, Annotate(answer.status(), expired ? "token expired and refresh failed" : "failed to fetch token"));
  }
  for (const auto& key : PodTokens(pod)) {
    auto known = state.tokens.find(key);
    if (known != state.tokens.end()) fetch.objects.tokens.emplace(key, known->second.text);  // an error stays
  }
}

// --- refreshing ---------------------------------------------------------------------------------------------------

void StartRefresh(const CorePtr& core, const StatePtr& state);

/// Wakes up for the token that is due first.
void ArmTimer(const CorePtr& core, const StatePtr& state) {
  if (state->tokens.empty() || state->removed) return;
  WallTime first = WallTime::max();
  for (const auto& [key, token] : state->tokens) first = std::min(first, token.refresh_at);
  const auto wait = std::clamp<std::chrono::nanoseconds>(first - WallClock::now(), std::chrono::nanoseconds(0),
                                                         std::chrono::nanoseconds(kLongestSleep));
  state->timer.expires_after(wait);
  std::weak_ptr<Core> weak_core = core;
  std::weak_ptr<PodState> weak_state = state;
  state->timer.async_wait([weak_core, weak_state, first](const boost::system::error_code& error) {
    const auto live_core = weak_core.lock();
    const auto live_state = weak_state.lock();
    if (error || !live_core || !live_state) return;
    if (WallClock::now() >= first) {
      StartRefresh(live_core, live_state);
    } else {
      ArmTimer(live_core, live_state);
    }
  });
}

kube::Task<void> RefreshOnce(CorePtr core, StatePtr state) {
  const PodPtr pod = state->pod;
  const FetchPtr fetch = co_await FetchAll(core, state, pod);
  TakeTokens(*core, *state, *pod, *fetch);
  std::vector<absl::Status> skipped;
  auto plan =
      MakePlan(core->root_dir, pod, fetch->objects, core->node, state->pod_ips, PlanScope::kContentsOnly, &skipped);
  // Of a volume whose object went away the last content stays, as with the kubelet.
  for (const auto& status : skipped) {
    Warn("A volume was not updated",
         {{"pod", kube::ObjectName(pod->metadata)}, {"err", std::string(status.message())}});
  }
  if (plan.ok()) {
    auto apply = [work = *std::move(plan)] { return ApplyPlan(work); };
    const absl::Status applied = co_await kube::Offload(core->loop, core->pool, std::move(apply));
    LogIfError(applied, "A pod's volumes were not updated");
  }
  ArmTimer(core, state);
}

kube::Task<void> RefreshWhileWanted(CorePtr core, StatePtr state) {
  while (state->refresh_wanted) {
    state->refresh_wanted = false;
    co_await state->lock.Acquire(core->loop);
    // A mount under way reads everything anew; one that failed will be tried again.
    if (state->mounted && !state->removed) {
      co_await RefreshOnce(core, state);
    }
    state->lock.Release();
  }
  state->refreshing = false;
}

void StartRefresh(const CorePtr& core, const StatePtr& state) {
  state->refresh_wanted = true;
  if (state->refreshing) return;
  state->refreshing = true;
  core->tasks.Spawn("volume refresh", RefreshWhileWanted(core, state));
}

// --- mounting -----------------------------------------------------------------------------------------------------

kube::Task<absl::StatusOr<ReadyVolumes>> MountLocked(CorePtr core, StatePtr state) {
  if (state->removed) co_return absl::AbortedError("the pod's volumes are being removed");
  const PodPtr pod = state->pod;
  const FetchPtr fetch = co_await FetchAll(core, state, pod);
  TakeTokens(*core, *state, *pod, *fetch);
  CO_ASSIGN_OR_RETURN(VolumePlan plan, MakePlan(core->root_dir, pod, fetch->objects, core->node, state->pod_ips,
                                                PlanScope::kAll, nullptr));
  auto shared = std::make_shared<const VolumePlan>(std::move(plan));
  auto apply = [shared] { return ApplyPlan(*shared); };
  const absl::Status applied = co_await kube::Offload(core->loop, core->pool, std::move(apply));
  CO_RETURN_IF_ERROR(applied);
  state->mounted = true;
  ArmTimer(core, state);
  co_return VolumesOf(*shared, core->node);
}

StatePtr StateOf(const CorePtr& core, const std::string& uid) {
  auto& state = core->pods[uid];
  if (!state) state = std::make_shared<PodState>(core->loop);
  return state;
}

kube::Task<absl::StatusOr<ReadyVolumes>> MountPod(CorePtr core, PodPtr pod, std::vector<std::string> pod_ips) {
  if (!IsPodUid(pod->metadata.uid)) co_return absl::InvalidArgumentError("metadata.uid: not a pod UID");
  const StatePtr state = StateOf(core, pod->metadata.uid);
  state->pod = pod;
  state->pod_ips = std::move(pod_ips);
  co_await state->lock.Acquire(core->loop);
  auto result = co_await MountLocked(core, state);
  state->lock.Release();
  co_return result;
}

kube::Task<absl::Status> UnmountPod(CorePtr core, std::string uid) {
  const StatePtr state = StateOf(core, uid);
  state->removed = true;
  state->timer.cancel();
  co_await state->lock.Acquire(core->loop);
  auto remove = [root_dir = core->root_dir, uid] { return RemovePodVolumes(root_dir, uid); };
  const absl::Status status = co_await kube::Offload(core->loop, core->pool, std::move(remove));
  state->lock.Release();
  auto known = core->pods.find(uid);
  if (known != core->pods.end() && known->second == state) core->pods.erase(known);
  co_return status;
}

class PodVolumes : public VolumeManager {
 public:
  explicit PodVolumes(CorePtr core) : core_(std::move(core)) {}
  ~PodVolumes() override {
    for (const auto& [uid, state] : core_->pods) {
      state->removed = true;
      state->timer.cancel();
    }
  }

  kube::Task<absl::StatusOr<ReadyVolumes>> Mount(std::shared_ptr<const kube::Pod> pod,
                                                 std::vector<std::string> pod_ips) override {
    return MountPod(core_, std::move(pod), std::move(pod_ips));
  }

  void Refresh(std::shared_ptr<const kube::Pod> pod) override {
    const std::string& uid = pod->metadata.uid;
    const bool known = core_->pods.count(uid) != 0;
    // A pod that runs since before this agent is adopted here: its sandbox stands, so nobody mounts it again, but its
    // content and its tokens must stay fresh.
    if (!known && !HasContentOnDisk(core_->root_dir, uid)) return;
    const StatePtr state = StateOf(core_, uid);
    if (!known) state->mounted = true;
    if (state->removed) return;
    state->pod = std::move(pod);
    StartRefresh(core_, state);
  }

  kube::Task<absl::Status> Unmount(std::string uid) override { return UnmountPod(core_, std::move(uid)); }

  std::vector<std::string> KnownPods() override { return PodsOnDisk(core_->root_dir); }

 private:
  CorePtr core_;
};

}  // namespace

kube::Task<absl::StatusOr<std::string>> ObjectSource::GetTrustAnchors(TrustKey) {
  co_return absl::UnimplementedError("clusterTrustBundle sources need an API server");
}

kube::Task<absl::StatusOr<CredentialBundle>> ObjectSource::GetPodCertificate(std::shared_ptr<const kube::Pod>,
                                                                             CertificateKey) {
  co_return absl::UnimplementedError("podCertificate sources need an API server");
}

absl::StatusOr<std::unique_ptr<VolumeManager>> NewVolumeManager(const VolumeManagerConfig& config, kube::Loop& loop,
                                                                kube::WorkerPool& pool, kube::TaskGroup& tasks,
                                                                ObjectSource& objects, const NodeInfo& node) {
  RETURN_IF_ERROR(EnsureNodeTmpfs(absl::StrCat(config.root_dir, "/volumes")));
  auto core = std::make_shared<Core>(Core{config.root_dir, loop, pool, tasks, objects, node, {}});
  std::unique_ptr<VolumeManager> manager = std::make_unique<PodVolumes>(std::move(core));
  return manager;
}

}  // namespace burstlet::provider
