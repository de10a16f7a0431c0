#include "provider/api_objects.h"

#include <chrono>
#include <utility>

#include "kube/async/signal_event.h"
#include "provider/translate/environment.h"
#include "provider/volumes/payload.h"

namespace burstlet::provider {
namespace {

using std::chrono::milliseconds;

/// Right after a pod appears the API server's node authorizer may not know it yet: 403 and 404 then mean "soon".
constexpr milliseconds kFirstRetry{5};
constexpr milliseconds kRetryFor{2000};

class ApiObjectSource : public ObjectSource {
 public:
  ApiObjectSource(kube::Client& client, kube::Loop& loop, kube::ObjectWatch& watches, TrustBundles& trust,
                  PodCertificates& certificates)
      : client_(client), loop_(loop), watches_(watches), trust_(trust), certificates_(certificates) {}

  void Acquire(const kube::Pod& pod) override {
    const std::string& uid = pod.metadata.uid;
    const std::string& name_space = pod.metadata.namespace_;
    for (const ObjectNames& names : {EnvironmentObjects(pod), VolumeObjects(pod)}) {
      for (const std::string& name : names.config_maps) watches_.AcquireConfigMap(uid, name_space, name);
      for (const std::string& name : names.secrets) watches_.AcquireSecret(uid, name_space, name);
    }
    for (const kube::LocalObjectReference& secret : pod.spec.imagePullSecrets) {
      watches_.AcquireSecret(uid, name_space, secret.name);
    }
    if (!PodAnchors(pod).empty()) trust_.Acquire(uid);
    if (!PodCertificateSources(pod).empty()) certificates_.Track(std::make_shared<const kube::Pod>(pod));
  }

  void Release(const std::string& uid) override {
    watches_.Release(uid);
    trust_.Release(uid);
    certificates_.Forget(uid);
  }

  kube::Task<absl::StatusOr<std::string>> GetTrustAnchors(TrustKey key) override {
    co_return co_await trust_.Get(std::move(key));
  }

  kube::Task<absl::StatusOr<CredentialBundle>> GetPodCertificate(std::shared_ptr<const kube::Pod> pod,
                                                                 CertificateKey key) override {
    co_return co_await certificates_.Get(std::move(pod), std::move(key));
  }

  kube::Task<absl::StatusOr<std::shared_ptr<const kube::ConfigMap>>> GetConfigMap(std::string name_space,
                                                                                  std::string name) override {
    co_return co_await watches_.GetConfigMap(std::move(name_space), std::move(name));
  }

  kube::Task<absl::StatusOr<std::shared_ptr<const kube::Secret>>> GetSecret(std::string name_space,
                                                                            std::string name) override {
    co_return co_await watches_.GetSecret(std::move(name_space), std::move(name));
  }

  kube::Task<absl::StatusOr<kube::TokenRequestStatus>> CreateToken(std::shared_ptr<const kube::Pod> pod,
                                                                   std::string audience,
                                                                   std::int64_t expiration_seconds) override {
    kube::TokenRequest request;
    request.apiVersion = "authentication.k8s.io/v1";
    request.kind = "TokenRequest";
    if (!audience.empty()) request.spec.audiences.push_back(audience);
    request.spec.expirationSeconds = expiration_seconds;
    request.spec.boundObjectRef = kube::BoundObjectReference{"Pod", "v1", pod->metadata.name, pod->metadata.uid};
    const std::string account = pod->spec.serviceAccountName.empty() ? "default" : pod->spec.serviceAccountName;
    const auto deadline = std::chrono::steady_clock::now() + kRetryFor;
    milliseconds delay = kFirstRetry;
    while (true) {
      auto answer = co_await client_.CreateToken(pod->metadata.namespace_, account, request);
      if (answer.ok()) co_return answer->status;
      const bool lagging = absl::IsPermissionDenied(answer.status()) || absl::IsNotFound(answer.status());
      if (!lagging || std::chrono::steady_clock::now() >= deadline) co_return answer.status();
      co_await kube::SleepUntil(loop_, std::chrono::steady_clock::now() + delay);
      delay *= 2;
    }
  }

 private:
  kube::Client& client_;
  kube::Loop& loop_;
  kube::ObjectWatch& watches_;
  TrustBundles& trust_;
  PodCertificates& certificates_;
};

}  // namespace

std::unique_ptr<ObjectSource> NewApiObjectSource(kube::Client& client, kube::Loop& loop, kube::ObjectWatch& watches,
                                                 TrustBundles& trust, PodCertificates& certificates) {
  return std::make_unique<ApiObjectSource>(client, loop, watches, trust, certificates);
}

}  // namespace burstlet::provider
