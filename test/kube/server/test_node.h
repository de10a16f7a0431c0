// A listening kubelet port with handlers that a test can set, and certificates for its clients.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "kube/server/kubelet_server.h"
#include "test/kube/server/test_certificates.h"
#include "test/kube/server/test_client.h"

namespace burstlet::kube::test {

class TestNode {
 public:
  TestNode();
  /// `change` may alter configuration and handlers before the start.
  using Change = std::function<void(KubeletServerConfig&, KubeletHandlers&)>;
  void Start(const Change& change = nullptr);
  void Stop() { server_.reset(); }

  std::uint16_t port() const { return server_->port(); }
  KubeletServer& server() { return *server_; }
  const CertifiedKey* admin() const { return &admin_; }
  const CertifiedKey& ca() const { return ca_; }
  const TempDir& dir() const { return dir_; }
  KubeletServerConfig Config() const;

  /// Users who may do what: "user verb subresource". admin may do all.
  void Allow(const std::string& user, const std::string& verb, const std::string& subresource);
  int access_reviews() const { return access_reviews_; }
  int token_reviews() const { return token_reviews_; }

 private:
  TempDir dir_;
  CertifiedKey ca_, serving_, admin_;
  std::mutex mutex_;
  std::set<std::string> allowed_;
  std::atomic<int> access_reviews_{0};
  std::atomic<int> token_reviews_{0};
  std::unique_ptr<KubeletServer> server_;
};

}  // namespace burstlet::kube::test
