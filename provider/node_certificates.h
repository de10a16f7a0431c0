// The node's two certificates while it runs: the client's, renewed, and the kubelet port's, asked for and swapped in.
//
// Owner: node_agent. Loop thread only. Failure: logged and counted (kubelet_certificate_manager_*); what there is stays
// in use. Source: pkg/kubelet/certificate/{kubelet,transport}.go.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "kube/api/node.h"
#include "kube/certificates/certificate_manager.h"
#include "kube/self_signed.h"
#include "kube/server/kubelet_server.h"
#include "metrics/catalog.h"
#include "provider/node_identity.h"
#include "provider/node_info.h"

namespace burstlet::provider {

class NodeCertificates {
 public:
  /// `client` speaks as `identity.client`. All references outlive the tasks.
  NodeCertificates(kube::Loop& loop, kube::Client& client, const Config& config, NodeIdentity identity,
                   Metrics& metrics);
  ~NodeCertificates();

  /// What the kubelet port begins with when no files are configured: the certificate issued last, while it is good,
  /// else one of the node's own making.
  absl::StatusOr<kube::KeyPair> FirstServingPair(const NodeInfo& node) const;
  /// `addresses` are those that the Node object shows now, empty while there is none.
  void Start(kube::TaskGroup& tasks, kube::KubeletServer& server,
             std::function<std::vector<kube::NodeAddress>()> addresses);
  void Stop();
  /// The addresses may have changed.
  void Wake();
  /// Gauges of what is left, before each scrape.
  void Publish();

 private:
  absl::StatusOr<kube::Client*> Asker();
  void StartClient(kube::TaskGroup& tasks);
  void StartServing(kube::TaskGroup& tasks, kube::KubeletServer& server,
                    std::function<std::vector<kube::NodeAddress>()> addresses);

  kube::Loop& loop_;
  kube::Client& client_;
  const Config& config_;
  NodeIdentity identity_;
  Metrics& metrics_;
  std::unique_ptr<kube::Client> bootstrap_client_;
  std::unique_ptr<kube::CertificateManager> client_manager_;
  std::unique_ptr<kube::CertificateManager> serving_manager_;
};

/// The subject of a serving certificate, nothing without an IP address. Source: addressesToHostnamesAndIPs.
std::optional<kube::CertificateSubject> ServingSubject(const std::string& node_name,
                                                       const std::vector<kube::NodeAddress>& addresses);

}  // namespace burstlet::provider
