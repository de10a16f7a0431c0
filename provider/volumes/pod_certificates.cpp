#include "provider/volumes/pod_certificates.h"

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/async/signal_event.h"
#include "kube/json.h"
#include "kube/pem.h"
#include "kube/reflector.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/volumes/payload.h"

namespace burstlet::provider {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using WallClock = std::chrono::system_clock;

constexpr char kGroup[] = "/apis/certificates.k8s.io/v1";
/// Right after a pod appears the node authorizer may not know it yet: quick at first.
constexpr milliseconds kFirstRetry{5};
constexpr milliseconds kLastRetry{60'000};
/// After this much past the time of renewal somebody should know.
constexpr auto kOverdue = std::chrono::minutes(10);
/// Timers stand still while the host sleeps: look at the wall clock now and then.
constexpr auto kLongestSleep = std::chrono::minutes(1);

WallClock::time_point WallTimeOf(const kube::Time& time) {
  return WallClock::time_point(
      std::chrono::duration_cast<WallClock::duration>(std::chrono::nanoseconds(time.unix_nanos)));
}

const kube::PodCertificateProjection* FindSource(const kube::Pod& pod, const CertificateKey& key) {
  for (const kube::Volume& volume : pod.spec.volumes) {
    if (volume.name != key.first || !volume.projected || key.second >= volume.projected->sources.size()) continue;
    const auto& source = volume.projected->sources[key.second].podCertificate;
    return source ? &*source : nullptr;
  }
  return nullptr;
}

kube::PodCertificateRequest MakeRequest(const kube::Pod& pod, const kube::PodCertificateProjection& source,
                                        const std::string& account_uid, const std::string& node,
                                        const std::string& node_uid, const std::string& proof) {
  kube::PodCertificateRequest request;
  request.apiVersion = "certificates.k8s.io/v1";
  request.kind = "PodCertificateRequest";
  request.metadata.namespace_ = pod.metadata.namespace_;
  request.metadata.generateName = "req-";
  kube::OwnerReference owner;
  owner.apiVersion = "v1";
  owner.kind = "Pod";
  owner.name = pod.metadata.name;
  owner.uid = pod.metadata.uid;
  request.metadata.ownerReferences.push_back(std::move(owner));
  request.spec.signerName = source.signerName;
  request.spec.podName = pod.metadata.name;
  request.spec.podUID = pod.metadata.uid;
  request.spec.serviceAccountName = pod.spec.serviceAccountName;
  request.spec.serviceAccountUID = account_uid;
  request.spec.nodeName = node;
  request.spec.nodeUID = node_uid;
  request.spec.maxExpirationSeconds = source.maxExpirationSeconds;
  request.spec.stubPKCS10Request.data = proof;
  request.spec.unverifiedUserAnnotations = source.userAnnotations;
  return request;
}

}  // namespace

/// One source of one pod: what it has, and what it waits for.
struct PodCertificates::Projection {
  Projection(kube::Loop& loop, std::shared_ptr<const kube::Pod> p, CertificateKey k)
      : pod(std::move(p)), key(std::move(k)), news(loop) {}

  const std::shared_ptr<const kube::Pod> pod;
  const CertificateKey key;
  bool forgotten = false;
  kube::SignalEvent news;  // for its own coroutine

  std::optional<CredentialBundle> bundle;
  WallClock::time_point refresh_at;
  WallClock::time_point not_after;
  bool told_overdue = false;
  bool told_expired = false;
  absl::Status refused;  // denied or failed, for good
  absl::Status failure;  // the newest try to ask

  std::string request;      // "namespace/name" of the one under way
  std::string request_key;  // its private key
  std::vector<std::shared_ptr<kube::SignalEvent>> waiters;

  void Settled() {
    for (const auto& waiter : std::exchange(waiters, {})) waiter->Set();
  }
};

PodCertificates::PodCertificates(kube::Client& client, kube::Loop& loop, kube::WorkerPool& pool, kube::TaskGroup& tasks,
                                 kube::EventRecorder& events, PodCertificatesConfig config)
    : client_(client), loop_(loop), pool_(pool), tasks_(tasks), events_(events), config_(std::move(config)) {}

PodCertificates::~PodCertificates() { cancel_.Cancel(); }

milliseconds PodCertificates::Jitter() const {
  static std::minstd_rand random{std::random_device{}()};
  return milliseconds(std::uniform_int_distribution<std::int64_t>(0, config_.jitter.count())(random));
}

void PodCertificates::Track(const std::shared_ptr<const kube::Pod>& pod) {
  for (const CertificateKey& key : PodCertificateSources(*pod)) {
    auto& known = projections_[pod->metadata.uid][key];
    if (known != nullptr) continue;
    Watch();
    known = std::make_shared<Projection>(loop_, pod, key);
    tasks_.Spawn("pod certificate", Drive(known));
  }
}

void PodCertificates::Forget(const std::string& uid) {
  const auto found = projections_.find(uid);
  if (found == projections_.end()) return;
  for (const auto& [key, projection] : found->second) {
    projection->forgotten = true;
    projection->news.Set();
    projection->Settled();
  }
  projections_.erase(found);
}

void PodCertificates::Watch() {
  if (std::exchange(watching_, true)) return;
  kube::ReflectorHandlers handlers;
  handlers.replace = [this](std::vector<std::string> objects) {
    requests_.clear();
    for (const std::string& object : objects) Observe(object);
  };
  handlers.changed = [this](std::string object) { Observe(object); };
  handlers.deleted = [this](std::string object) {
    const auto head = kube::DecodeHead(object);
    if (head.ok()) requests_.erase(kube::ObjectName(head->metadata));
  };
  tasks_.Spawn("watch pod certificate requests",
               kube::RunReflector(
                   client_, loop_, "podcertificaterequests", absl::StrCat(kGroup, "/podcertificaterequests"),
                   absl::StrCat("fieldSelector=spec.nodeName%3D", config_.node_name), std::move(handlers), cancel_));
}

void PodCertificates::Observe(const std::string& object) {
  auto request = kube::Decode<kube::PodCertificateRequest>(object);
  if (!request.ok()) return LogIfError(request.status(), "PodCertificateRequest not readable");
  const std::string name = kube::ObjectName(request->metadata);
  const std::string uid = request->spec.podUID;
  requests_[name] = std::make_shared<const kube::PodCertificateRequest>(*std::move(request));
  const auto found = projections_.find(uid);
  if (found == projections_.end()) return;
  for (const auto& [key, projection] : found->second) projection->news.Set();
}

/// A projection's whole life: ask, wait for the answer, wait for the time to ask again.
kube::Task<void> PodCertificates::Drive(ProjectionPtr projection) {
  while (!projection->forgotten && projection->refused.ok()) {
    co_await Ask(projection);
    while (!projection->forgotten && projection->refused.ok() && projection->bundle) {
      const auto now = WallClock::now();
      if (now >= projection->refresh_at) break;
      const auto sleep = std::min<std::chrono::nanoseconds>(projection->refresh_at - now, kLongestSleep);
      co_await projection->news.WaitUntil(steady_clock::now() + sleep);
    }
  }
}

/// One request, until it is answered.
kube::Task<void> PodCertificates::Ask(ProjectionPtr projection) {
  milliseconds delay = kFirstRetry;
  while (!projection->forgotten) {
    TellLateness(*projection);
    projection->failure = co_await Create(projection);
    if (projection->failure.ok() || projection->forgotten) break;
    if (delay >= std::chrono::seconds(1)) {
      Warn("PodCertificateRequest not made",
           {{"pod", kube::ObjectName(projection->pod->metadata)}, {"err", std::string(projection->failure.message())}});
    }
    co_await kube::SleepUntil(loop_, steady_clock::now() + delay);
    delay = std::min(delay * 2, kLastRetry);
  }
  const auto abandon_at = steady_clock::now() + config_.assume_deleted + Jitter();
  while (!projection->forgotten) {
    const auto request = requests_.find(projection->request);
    if (request != requests_.end()) {
      const RequestPtr seen = request->second;  // what is told may change the map
      Answered(*projection, *seen);
    }
    if (projection->request.empty()) co_return;
    // Not seen for so long: somebody deleted it. Asked anew.
    if (request == requests_.end() && steady_clock::now() >= abandon_at) co_return;
    TellLateness(*projection);
    const auto next_look = steady_clock::now() + kLongestSleep;
    co_await projection->news.WaitUntil(request == requests_.end() ? std::min(abandon_at, next_look) : next_look);
  }
}

kube::Task<absl::StatusOr<std::string>> PodCertificates::ServiceAccountUid(std::string name_space, std::string name) {
  auto answer = co_await client_.Do("GET", absl::StrCat("/api/v1/namespaces/", name_space, "/serviceaccounts/", name),
                                    "", "", milliseconds(0));
  if (!answer.ok()) co_return Annotate(answer.status(), "while fetching service account");
  auto head = kube::DecodeHead(answer->body);
  if (!head.ok()) co_return Annotate(head.status(), "while fetching service account");
  co_return head->metadata.uid;
}

kube::Task<absl::Status> PodCertificates::Create(ProjectionPtr projection) {
  const kube::Pod& pod = *projection->pod;
  const kube::PodCertificateProjection& source = *FindSource(pod, projection->key);
  const std::string node_uid = config_.node_uid();
  if (node_uid.empty()) co_return absl::UnavailableError("while getting node object from local cache: not registered");
  const auto account = co_await ServiceAccountUid(pod.metadata.namespace_, pod.spec.serviceAccountName);
  CO_RETURN_IF_ERROR(account);
  auto make = [type = source.keyType] { return kube::MakeKeyAndProof(type); };
  auto pair = co_await kube::Offload(loop_, pool_, std::move(make));
  if (!pair.ok()) co_return Annotate(pair.status(), "while generating keypair");
  const auto request = MakeRequest(pod, source, *account, config_.node_name, node_uid, pair->request_der);
  auto answer = co_await client_.Do(
      "POST", absl::StrCat(kGroup, "/namespaces/", pod.metadata.namespace_, "/podcertificaterequests"),
      "application/json", kube::Encode(request), milliseconds(0));
  if (!answer.ok()) co_return Annotate(answer.status(), "while creating on API");
  auto head = kube::DecodeHead(answer->body);
  if (!head.ok()) co_return Annotate(head.status(), "while creating on API");
  projection->request = kube::ObjectName(head->metadata);
  projection->request_key = std::move(pair->key_pem);
  co_return absl::OkStatus();
}

void PodCertificates::Answered(Projection& projection, const kube::PodCertificateRequest& request) {
  for (const kube::CertificateCondition& condition : request.status.conditions) {
    const std::string details = absl::StrCat("reason=\"", condition.reason, "\" message=\"", condition.message, "\"");
    if (condition.type == "Issued") {
      projection.bundle = CredentialBundle{std::exchange(projection.request_key, ""),
                                           kube::CertificatesPem(kube::PemBlocks(request.status.certificateChain))};
      projection.refresh_at = WallTimeOf(request.status.beginRefreshAt.value_or(kube::Time{})) + Jitter();
      projection.not_after = WallTimeOf(request.status.notAfter.value_or(kube::Time{}));
      projection.told_overdue = projection.told_expired = false;
    } else if (condition.type == "Denied" || condition.type == "Failed") {
      const bool denied = condition.type == "Denied";
      projection.bundle.reset();
      projection.refused = absl::FailedPreconditionError(
          absl::StrCat("PodCertificateRequest was permanently ", denied ? "denied" : "failed", ": ", details));
      events_.PodEvent(
          *projection.pod, "", "Warning", condition.type,
          absl::StrCat("PodCertificateRequest ", projection.request, denied ? " was denied, " : " failed, ", details));
    } else {
      continue;
    }
    projection.request.clear();
    projection.Settled();
    if (on_change_) on_change_(projection.pod->metadata.uid);
    return;
  }
}

void PodCertificates::TellLateness(Projection& projection) {
  if (!projection.bundle) return;
  const auto now = WallClock::now();
  const auto tell = [&](const char* reason, const char* message) {
    events_.PodEvent(*projection.pod, "", "Warning", reason, message);
  };
  if (now > projection.refresh_at + kOverdue && !std::exchange(projection.told_overdue, true)) {
    tell("CertificateOverdueForRefresh", "PodCertificate refresh overdue");
  }
  if (now > projection.not_after && !std::exchange(projection.told_expired, true)) {
    tell("CertificateExpired", "PodCertificate expired");
  }
}

kube::Task<absl::StatusOr<CredentialBundle>> PodCertificates::Get(std::shared_ptr<const kube::Pod> pod,
                                                                  CertificateKey key) {
  Track(pod);
  const auto found = projections_.find(pod->metadata.uid);
  if (found == projections_.end() || !found->second.contains(key)) {
    co_return absl::NotFoundError(absl::StrCat("no credentials yet for volume \"", key.first, "\""));
  }
  const ProjectionPtr projection = found->second.at(key);
  if (!projection->bundle && projection->refused.ok()) {
    auto answer = std::make_shared<kube::SignalEvent>(loop_);
    projection->waiters.push_back(answer);
    co_await answer->WaitUntil(steady_clock::now() + config_.first_answer);
    std::erase(projection->waiters, answer);
  }
  if (!projection->refused.ok()) co_return projection->refused;
  if (projection->bundle) co_return *projection->bundle;
  const std::string why =
      projection->failure.ok() ? "" : absl::StrCat(": ", std::string(projection->failure.message()));
  co_return absl::UnavailableError(absl::StrCat("credential bundle is not issued yet", why));
}

}  // namespace burstlet::provider
