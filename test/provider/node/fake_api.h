// A small API server in memory, behind kube::Client: one Node, its Lease, and a watch of the Node.
//
// It records each request as "VERB path" and signals its arrival; failures are scripted per prefix. Loop thread only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/async/signal_event.h"
#include "kube/client.h"

namespace burstlet::provider {

class FakeApi final : public kube::Client {
 public:
  explicit FakeApi(kube::Loop& loop) : loop_(loop), arrived_(loop), watch_changed_(loop) {}

  kube::Task<absl::StatusOr<kube::Response>> Do(std::string method, std::string path, std::string content_type,
                                                std::string body, std::chrono::milliseconds timeout) override;
  kube::Task<absl::Status> Stream(std::string path, std::function<void(std::string)> on_line,
                                  std::chrono::milliseconds idle_limit, kube::CancelToken cancel) override;

  /// Waits until `count` requests that begin with `prefix` were made.
  kube::Task<void> Until(std::string prefix, std::size_t count);
  std::size_t Count(const std::string& prefix) const;
  /// The body of the last request that begins with `prefix`.
  std::string LastBody(const std::string& prefix) const;

  void PutNode(kube::Node node);
  void DeleteNode();

  std::optional<kube::Node> node;
  std::optional<kube::Lease> lease;
  /// Requests that begin with the key fail with these, one by one.
  std::map<std::string, std::deque<absl::Status>> failures;

 private:
  absl::StatusOr<std::string> Serve(const std::string& method, const std::string& path, const std::string& body);
  absl::StatusOr<std::string> ServeNode(const std::string& method, const std::string& path, const std::string& body);
  absl::StatusOr<std::string> ServeLease(const std::string& method, const std::string& body);
  void Tell(const std::string& type, const kube::Node& about);

  struct Request {
    std::string line;
    std::string body;
  };
  kube::Loop& loop_;
  kube::SignalEvent arrived_;
  kube::SignalEvent watch_changed_;
  std::vector<Request> requests_;
  std::deque<std::string> events_;
  int version_ = 10;
  int uids_ = 0;
};

}  // namespace burstlet::provider
