// A Client without a network: each request goes to a script on the loop, and is recorded.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kube/async/signal_event.h"
#include "kube/client.h"
#include "kube/client_status.h"

namespace burstlet::kube::test {

struct ScriptedRequest {
  std::string method;
  std::string path;
  std::string body;
};

class ScriptedClient final : public Client {
 public:
  using Script = std::function<absl::StatusOr<Response>(const ScriptedRequest&)>;

  ScriptedClient(Loop& loop, Script script) : loop_(loop), script_(std::move(script)) {}

  Task<absl::StatusOr<Response>> Do(std::string method, std::string path, std::string, std::string body,
                                    std::chrono::milliseconds) override {
    // Never at once, as in life.
    co_await SleepUntil(loop_, std::chrono::steady_clock::now());
    ScriptedRequest request{std::move(method), std::move(path), std::move(body)};
    requests.push_back(request);
    co_return script_(request);
  }

  /// Watches stay open until cancelled; Push sends a line to those whose path contains `part`.
  Task<absl::Status> Stream(std::string path, std::function<void(std::string)> on_line, std::chrono::milliseconds,
                            CancelToken cancel) override {
    SignalEvent ended(loop_);
    const int id = next_stream_++;
    streams[id] = {path, on_line};
    const auto registration = cancel.OnCancel([&ended] { ended.Set(); });
    co_await ended.Wait();
    cancel.Forget(registration);
    streams.erase(id);
    co_return absl::CancelledError("cancelled");
  }

  void Push(const std::string& part, const std::string& line) {
    const auto open = streams;
    for (const auto& [id, stream] : open) {
      if (stream.path.find(part) != std::string::npos) stream.on_line(line);
    }
  }

  struct OpenStream {
    std::string path;
    std::function<void(std::string)> on_line;
  };
  std::vector<ScriptedRequest> requests;
  std::map<int, OpenStream> streams;

 private:
  Loop& loop_;
  Script script_;
  int next_stream_ = 0;
};

}  // namespace burstlet::kube::test
