#include "provider/node_certificates.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/net/address.h"

namespace burstlet::provider {
namespace {

kube::CertificateStore ServingStore(const Config& config) {
  return kube::CertificateStore(config.cert_dir, "kubelet-server");
}

absl::StatusOr<kube::StoredCertificate> GoodServingPair(const Config& config) {
  ASSIGN_OR_RETURN(kube::StoredCertificate stored, ServingStore(config).Current());
  if (stored.info.not_after <= std::chrono::system_clock::now()) {
    return absl::NotFoundError("the serving certificate has expired");
  }
  return stored;
}

}  // namespace

std::optional<kube::CertificateSubject> ServingSubject(const std::string& node_name,
                                                       const std::vector<kube::NodeAddress>& addresses) {
  std::set<std::string> names;
  std::set<std::string> ips;
  for (const kube::NodeAddress& address : addresses) {
    const bool is_ip = sandbox::ParseAddress(address.address).ok();
    const bool may_be_name =
        address.type == "Hostname" || address.type == "InternalDNS" || address.type == "ExternalDNS";
    if (is_ip) ips.insert(address.address);
    if (!is_ip && may_be_name && !address.address.empty()) names.insert(address.address);
  }
  if (ips.empty()) return std::nullopt;
  kube::CertificateSubject subject = NodeSubject(node_name);
  subject.dns_names.assign(names.begin(), names.end());
  subject.ip_addresses.assign(ips.begin(), ips.end());
  return subject;
}

NodeCertificates::NodeCertificates(kube::Loop& loop, kube::Client& client, const Config& config, NodeIdentity identity,
                                   Metrics& metrics)
    : loop_(loop), client_(client), config_(config), identity_(std::move(identity)), metrics_(metrics) {}

NodeCertificates::~NodeCertificates() = default;

absl::StatusOr<kube::KeyPair> NodeCertificates::FirstServingPair(const NodeInfo& node) const {
  if (config_.server_tls_bootstrap) {
    const auto stored = GoodServingPair(config_);
    if (stored.ok()) return kube::KeyPair{stored->cert_pem, stored->key_pem};
  }
  return kube::SelfSigned(node.name, node.addresses);
}

/// The node itself while its certificate counts; then whoever may ask for a first one.
absl::StatusOr<kube::Client*> NodeCertificates::Asker() {
  if (client_manager_->TtlSeconds() > 0) return &client_;
  // Read anew each time: tokens expire and are replaced.
  const auto bootstrap = config_.bootstrap_kubeconfig.empty() ? absl::NotFoundError("no --bootstrap-kubeconfig")
                                                              : LoadKubeconfig(config_.bootstrap_kubeconfig);
  if (!bootstrap.ok()) {
    return Annotate(bootstrap.status(), absl::StrCat("the client certificate has expired and cannot be asked for anew; "
                                                     "a valid pair in ",
                                                     ClientCertificateStore(config_).CurrentPath(), " is taken up"));
  }
  ASSIGN_OR_RETURN(bootstrap_client_, kube::NewClient(loop_, *bootstrap));
  return bootstrap_client_.get();
}

void NodeCertificates::StartClient(kube::TaskGroup& tasks) {
  metrics_.Declare(Series::kCertificateClientRenewErrors);
  kube::CertificateManagerConfig manager;
  manager.signer = kube::kClientSigner;
  manager.subject = [name = config_.node_name] { return NodeSubject(name); };
  manager.client = [this] { return Asker(); };
  // The client follows the file: new connections present the new certificate, watches end in their own time.
  manager.on_issued = [](const kube::StoredCertificate&) {};
  manager.on_rotated = [](std::chrono::seconds) {};
  manager.on_failed = [this] { metrics_.Add(Series::kCertificateClientRenewErrors); };
  client_manager_ = std::make_unique<kube::CertificateManager>(
      loop_, ClientCertificateStore(config_), std::move(manager), identity_.certificate, identity_.replace_at_once);
  client_manager_->Start(tasks);
}

void NodeCertificates::StartServing(kube::TaskGroup& tasks, kube::KubeletServer& server,
                                    std::function<std::vector<kube::NodeAddress>()> addresses) {
  metrics_.Declare(Series::kCertificateServerRenewErrors);
  metrics_.Declare(Series::kCertificateServerRotation);
  kube::CertificateManagerConfig manager;
  manager.signer = kube::kServingSigner;
  manager.subject = [name = config_.node_name, addresses = std::move(addresses)] {
    return ServingSubject(name, addresses());
  };
  manager.client = [this]() -> absl::StatusOr<kube::Client*> { return &client_; };
  manager.on_issued = [&server](const kube::StoredCertificate& stored) {
    LogIfError(server.UseCertificate(stored.cert_pem, stored.key_pem), "Serving certificate not taken up");
  };
  manager.on_rotated = [this](std::chrono::seconds lived) {
    metrics_.Observe(Series::kCertificateServerRotation, static_cast<double>(lived.count()));
  };
  manager.on_failed = [this] { metrics_.Add(Series::kCertificateServerRenewErrors); };
  const auto stored = GoodServingPair(config_);
  serving_manager_ = std::make_unique<kube::CertificateManager>(
      loop_, ServingStore(config_), std::move(manager),
      stored.ok() ? std::optional<kube::CertificateInfo>(stored->info) : std::nullopt, false);
  serving_manager_->Start(tasks);
}

void NodeCertificates::Start(kube::TaskGroup& tasks, kube::KubeletServer& server,
                             std::function<std::vector<kube::NodeAddress>()> addresses) {
  if (identity_.rotates) StartClient(tasks);
  if (config_.server_tls_bootstrap) StartServing(tasks, server, std::move(addresses));
  Publish();
}

void NodeCertificates::Stop() {
  if (client_manager_) client_manager_->Stop();
  if (serving_manager_) serving_manager_->Stop();
}

void NodeCertificates::Wake() {
  if (client_manager_) client_manager_->Wake();
  if (serving_manager_) serving_manager_->Wake();
}

void NodeCertificates::Publish() {
  if (client_manager_) metrics_.Set(Series::kCertificateClientTtl, client_manager_->TtlSeconds());
  if (serving_manager_) metrics_.Set(Series::kCertificateServerTtl, serving_manager_->TtlSeconds());
}

}  // namespace burstlet::provider
