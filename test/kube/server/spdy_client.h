// A SPDY client of the streaming protocols for tests, on the product's own framing.
#pragma once

#include <map>
#include <string>

#include "kube/server/spdy.h"
#include "test/kube/server/test_client.h"
#include "test/kube/server/test_node.h"

namespace burstlet::kube::test {

class SpdyClient : private SpdySink {
 public:
  struct Stream {
    std::string data;
    bool replied = false;
    bool fin = false;
    bool reset = false;
  };

  /// `versions`: one X-Stream-Protocol-Version header each.
  SpdyClient(const TestNode& node, const std::string& target, const std::vector<std::string>& versions);

  const ClientResponse& head() const { return head_; }
  /// Opens a stream; its number.
  std::uint32_t Open(const SpdyHeaders& headers);
  void Write(std::uint32_t id, const std::string& data, bool fin = false);
  void Reset(std::uint32_t id);
  void Ping(std::uint32_t id);
  bool SendRaw(const std::string& bytes) { return client_.Send(bytes); }
  /// Reads until the condition holds; false at the end of the connection.
  bool Until(const std::function<bool()>& condition);
  Stream& stream(std::uint32_t id) { return streams_[id]; }
  std::uint32_t last_ping() const { return last_ping_; }
  TestClient& client() { return client_; }

 private:
  void OnSynStream(std::uint32_t, const SpdyHeaders&, bool) override {}
  void OnSynReply(std::uint32_t id) override { streams_[id].replied = true; }
  void OnData(std::uint32_t id, std::string_view piece, bool fin) override;
  void OnReset(std::uint32_t id, std::uint32_t) override { streams_[id].reset = true; }
  void OnPing(std::uint32_t id) override { last_ping_ = id; }
  void OnGoAway() override {}

  TestClient client_;
  ClientResponse head_;
  SpdyEncoder encoder_;
  SpdyDecoder decoder_;
  std::map<std::uint32_t, Stream> streams_;
  std::uint32_t next_ = 1;
  std::uint32_t last_ping_ = 0;
};

}  // namespace burstlet::kube::test
