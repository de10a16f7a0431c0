#include "provider/node_identity.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"
#include "kube/backoff.h"
#include "kube/certificates/bootstrap.h"
#include "kube/certificates/file.h"
#include "kube/certificates/signing_request.h"
#include "kube/credentials.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::provider {
namespace {

constexpr std::chrono::milliseconds kRetryFirst{2'000};
constexpr std::chrono::milliseconds kRetryMost{32'000};
constexpr std::chrono::minutes kAnswerLimit{15};

/// What the user gave is wrong, whatever it failed by: another exit code than trouble at run time.
absl::Status WrongInput(const absl::Status& status, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", std::string(status.message())));
}

/// One try. The bootstrap kubeconfig is read anew, since tokens expire and are replaced.
kube::Task<absl::Status> Ask(kube::Loop* loop, Config config) {
  auto bootstrap = LoadKubeconfig(config.bootstrap_kubeconfig);
  if (!bootstrap.ok()) co_return Annotate(bootstrap.status(), "--bootstrap-kubeconfig");
  auto client = kube::NewClient(*loop, *bootstrap);
  if (!client.ok()) co_return Annotate(client.status(), "--bootstrap-kubeconfig");
  kube::CertificateStore store = ClientCertificateStore(config);
  const kube::SigningQuestion question{kube::kClientSigner, NodeSubject(config.node_name),
                                       kube::UsagesOf(kube::kClientSigner)};
  const kube::CancelToken never;
  const auto deadline = std::chrono::steady_clock::now() + kAnswerLimit;
  const auto stored = co_await kube::ObtainCertificate(**client, *loop, store, question, deadline, never);
  (*client)->Shutdown();
  co_return stored.status();
}

kube::Task<void> AskUntilIssued(kube::Loop* loop, Config config, Metrics* metrics) {
  kube::Backoff backoff(kRetryFirst, kRetryMost);
  while (true) {
    const absl::Status status = co_await Ask(loop, config);
    if (status.ok()) break;
    Error("No client certificate yet", {{"err", std::string(status.message())}});
    metrics->Add(Series::kCertificateClientRenewErrors);
    co_await kube::SleepUntil(*loop, std::chrono::steady_clock::now() + backoff.Next());
  }
  loop->Stop();
}

/// A certificate for this node in the store that counts now.
bool HasOwnCertificate(const kube::CertificateStore& store, const std::string& node_name) {
  const auto current = store.Current();
  return current.ok() && current->info.not_after > std::chrono::system_clock::now() &&
         kube::Satisfies(current->info.subject, NodeSubject(node_name));
}

/// A loop of its own: nothing else of the agent is there yet. Pods of an agent before run on.
void BootstrapCertificate(const Config& config, Metrics& metrics) {
  Info("Asks for a client certificate with the bootstrap identity",
       {{"kubeconfig", config.bootstrap_kubeconfig}, {"node", config.node_name}});
  kube::Loop loop;
  kube::TaskGroup tasks(loop);
  tasks.Spawn("bootstrap", AskUntilIssued(&loop, config, &metrics));
  loop.Run();
}

/// The kubeconfig's identity when it counts; else one asked for, and the kubeconfig that points to it.
absl::StatusOr<kube::ClientConfig> BootstrappedIdentity(const Config& config, const kube::ClientConfig& bootstrap,
                                                        Metrics& metrics) {
  auto present = LoadKubeconfig(config.kubeconfig);
  absl::Status usable = present.status();
  if (present.ok()) usable = kube::CheckClientCertificate(*present, std::chrono::system_clock::now());
  if (usable.ok()) return present;
  if (ErrnoOf(usable) != ENOENT || present.ok()) {
    Warn("The kubeconfig's identity does not count, so that a new one is asked for",
         {{"kubeconfig", config.kubeconfig}, {"err", std::string(usable.message())}});
  }
  kube::CertificateStore store = ClientCertificateStore(config);
  if (!HasOwnCertificate(store, config.node_name)) BootstrapCertificate(config, metrics);
  const absl::Status written =
      kube::WriteFileDurably(config.kubeconfig, kube::BootstrappedKubeconfig(bootstrap, store.CurrentPath()), 0600);
  if (!written.ok()) return WrongInput(written, "--kubeconfig");
  auto identity = LoadKubeconfig(config.kubeconfig);
  if (!identity.ok()) return WrongInput(identity.status(), config.kubeconfig);
  return identity;
}

/// From now on the certificate comes from the store: it begins with what the kubeconfig has.
absl::Status PrepareRotation(const Config& config, NodeIdentity& identity) {
  kube::CertificateStore store = ClientCertificateStore(config);
  if (!HasOwnCertificate(store, config.node_name)) {
    kube::Credentials credentials(identity.client);
    RETURN_IF_ERROR(credentials.Refresh());
    if (credentials.material().cert.empty()) {
      return absl::InvalidArgumentError("rotateCertificates: the identity has no client certificate to renew");
    }
    RETURN_IF_ERROR(store.Update(credentials.material().cert, credentials.material().key));
    // It may be of somebody with more rights than a node (kubeadm's on masters), as the kubelet replaces it at once.
    identity.replace_at_once = true;
  }
  ASSIGN_OR_RETURN(kube::StoredCertificate current, store.Current());
  identity.certificate = std::move(current.info);
  identity.client.cert_data.clear();
  identity.client.key_data.clear();
  identity.client.cert_file = store.CurrentPath();
  identity.client.key_file = store.CurrentPath();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<kube::ClientConfig> LoadKubeconfig(const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, kube::ReadSmallFile(file));
  std::error_code ignored;
  const std::filesystem::path absolute = std::filesystem::absolute(file, ignored);
  return kube::ParseKubeconfig(text, absolute.parent_path().string());
}

kube::CertificateStore ClientCertificateStore(const Config& config) {
  return kube::CertificateStore(config.cert_dir, "kubelet-client");
}

kube::CertificateSubject NodeSubject(const std::string& node_name) {
  kube::CertificateSubject subject;
  subject.common_name = "system:node:" + node_name;
  subject.organizations = {"system:nodes"};
  return subject;
}

absl::StatusOr<NodeIdentity> EstablishIdentity(const Config& config, Metrics& metrics) {
  NodeIdentity identity;
  if (config.kubeconfig.empty()) {
    auto inside = kube::InClusterConfig();
    if (!inside.ok()) return WrongInput(inside.status(), "the identity");
    identity.client = *std::move(inside);
    return identity;
  }
  identity.rotates = config.rotate_certificates.value_or(!config.bootstrap_kubeconfig.empty());
  absl::StatusOr<kube::ClientConfig> bootstrap = absl::NotFoundError("");
  if (!config.bootstrap_kubeconfig.empty()) {
    bootstrap = LoadKubeconfig(config.bootstrap_kubeconfig);
    // The token's file may be taken away once the node has joined.
    const bool joined = ErrnoOf(bootstrap.status()) == ENOENT && LoadKubeconfig(config.kubeconfig).ok();
    if (!bootstrap.ok() && !joined) {
      return WrongInput(bootstrap.status(), "--bootstrap-kubeconfig " + config.bootstrap_kubeconfig);
    }
  }
  if (bootstrap.ok()) {
    ASSIGN_OR_RETURN(identity.client, BootstrappedIdentity(config, *bootstrap, metrics));
  } else {
    auto present = LoadKubeconfig(config.kubeconfig);
    if (!present.ok()) return WrongInput(present.status(), "--kubeconfig " + config.kubeconfig);
    identity.client = *std::move(present);
  }
  if (identity.rotates) {
    const absl::Status prepared = PrepareRotation(config, identity);
    if (!prepared.ok()) return WrongInput(prepared, config.cert_dir);
  }
  return identity;
}

}  // namespace burstlet::provider
