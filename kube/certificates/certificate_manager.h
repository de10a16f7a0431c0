// Keeps one certificate of the node fresh: asks for it when there is none, at 70 to 90 % of its life, and when it no
// longer says what it should (other addresses).
//
// Owner: node_agent. Loop thread only. Failure: never; each failed try is logged and counted, and the next follows
// after 2 s, doubling to 32 s. While no new certificate comes the present one stays in use.
// Source: client-go util/certificate/certificate_manager.go, pkg/kubelet/certificate/kubelet.go.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"
#include "kube/backoff.h"
#include "kube/certificates/certificate_store.h"
#include "kube/certificates/signing_request.h"
#include "kube/client.h"

namespace burstlet::kube {

/// When a certificate is to be replaced: 70 to 90 % of its life, `spread` (0 to 1) says where in between.
std::chrono::system_clock::time_point RotationTime(const CertificateInfo& info, double spread);

struct CertificateManagerConfig {
  std::string signer;
  /// What the certificate should say now; nothing while that is not known.
  std::function<std::optional<CertificateSubject>()> subject;
  /// Who asks: the node itself, or its bootstrap identity when it has no certificate that counts.
  std::function<absl::StatusOr<Client*>()> client;
  /// A certificate is in the store, and current.
  std::function<void(const StoredCertificate&)> on_issued;
  /// A certificate took the place of one that had lived so long.
  std::function<void(std::chrono::seconds)> on_rotated;
  std::function<void()> on_failed;
  /// For tests.
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
  std::chrono::milliseconds retry_first{2'000};
  std::chrono::milliseconds retry_most{32'000};
  std::chrono::milliseconds answer_limit{15 * 60'000};
};

class CertificateManager {
 public:
  /// `current` is what the store holds, when that can be used at all; with `force` it is replaced at once.
  CertificateManager(Loop& loop, CertificateStore store, CertificateManagerConfig config,
                     std::optional<CertificateInfo> current, bool force);

  void Start(TaskGroup& tasks);
  /// The task ends soon; the owner joins the TaskGroup.
  void Stop();
  /// Looks at clock and subject now.
  void Wake();

  const std::optional<CertificateInfo>& current() const { return current_; }
  /// Whole seconds until the certificate expires, negative afterwards; +Inf without one.
  double TtlSeconds() const;

 private:
  Task<void> Run();
  Task<void> Rotate();
  bool AdoptStored();
  bool Due() const;
  bool Fits() const;

  Loop& loop_;
  CertificateStore store_;
  CertificateManagerConfig config_;
  std::optional<CertificateInfo> current_;
  std::chrono::system_clock::time_point rotate_at_;
  Backoff backoff_;
  bool force_;
  SignalEvent wake_;
  CancelToken stop_;
  CancelToken attempt_;
  std::optional<CertificateSubject> asked_;
};

}  // namespace burstlet::kube
