// Certificates of pods (podCertificate sources of projected volumes): asked for by the node on the pod's behalf,
// renewed when the signer says so.
//
// Keys live in memory and in the pod's volume on the node's tmpfs, nowhere else; a restarted agent asks anew, and the
// volume keeps its old content until the answer is there. Owner: node_agent. Loop thread only (keys are made on the
// worker pool). Failure: the kubelet's words ("credential bundle is not issued yet", "PodCertificateRequest was
// permanently denied: ..."); a request that can't be made is tried again, with back-off.
// Source: pkg/kubelet/podcertificate/podcertificatemanager.go (KEP-4317).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "kube/api/trust.h"
#include "kube/async/cancel.h"
#include "kube/async/offload.h"
#include "kube/async/task_group.h"
#include "kube/client.h"
#include "kube/event_recorder.h"
#include "provider/volumes/credentials.h"

namespace burstlet::provider {

struct PodCertificatesConfig {
  std::string node_name;
  /// Empty while the node is not registered.
  std::function<std::string()> node_uid;
  /// Spreads renewals, and the moment when a request that nobody sees any more counts as deleted.
  std::chrono::milliseconds jitter = std::chrono::minutes(5);
  std::chrono::milliseconds assume_deleted = std::chrono::minutes(10);
  /// How long the first use waits for the signer before it says that the pod must wait.
  std::chrono::milliseconds first_answer = std::chrono::seconds(2);
};

class PodCertificates {
 public:
  PodCertificates(kube::Client& client, kube::Loop& loop, kube::WorkerPool& pool, kube::TaskGroup& tasks,
                  kube::EventRecorder& events, PodCertificatesConfig config);
  ~PodCertificates();

  /// Asks for all certificates of the pod. Idempotent.
  void Track(const std::shared_ptr<const kube::Pod>& pod);
  void Forget(const std::string& uid);
  /// A certificate of the pod has been issued or refused.
  void OnChange(std::function<void(const std::string& uid)> callback) { on_change_ = std::move(callback); }

  kube::Task<absl::StatusOr<CredentialBundle>> Get(std::shared_ptr<const kube::Pod> pod, CertificateKey key);

 private:
  struct Projection;
  using ProjectionPtr = std::shared_ptr<Projection>;
  using RequestPtr = std::shared_ptr<const kube::PodCertificateRequest>;

  void Watch();
  void Observe(const std::string& object);
  kube::Task<void> Drive(ProjectionPtr projection);
  kube::Task<void> Ask(ProjectionPtr projection);
  kube::Task<absl::Status> Create(ProjectionPtr projection);
  kube::Task<absl::StatusOr<std::string>> ServiceAccountUid(std::string name_space, std::string name);
  void Answered(Projection& projection, const kube::PodCertificateRequest& request);
  void TellLateness(Projection& projection);
  std::chrono::milliseconds Jitter() const;

  kube::Client& client_;
  kube::Loop& loop_;
  kube::WorkerPool& pool_;
  kube::TaskGroup& tasks_;
  kube::EventRecorder& events_;
  PodCertificatesConfig config_;
  kube::CancelToken cancel_;
  bool watching_ = false;
  std::map<std::string, std::map<CertificateKey, ProjectionPtr>> projections_;  // by pod UID
  std::map<std::string, RequestPtr> requests_;                                  // of this node, by "namespace/name"
  std::function<void(const std::string&)> on_change_;
};

}  // namespace burstlet::provider
