#include "test/kube/server/spdy_client.h"

namespace burstlet::kube::test {

SpdyClient::SpdyClient(const TestNode& node, const std::string& target, const std::vector<std::string>& versions)
    : client_(node.port(), node.admin()) {
  std::string request = "POST " + target + " HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
  for (const std::string& version : versions) request += "X-Stream-Protocol-Version: " + version + "\r\n";
  client_.Send(request + "\r\n");
  head_ = client_.ReadHead();
}

std::uint32_t SpdyClient::Open(const SpdyHeaders& headers) {
  const std::uint32_t id = next_;
  next_ += 2;
  std::string bytes;
  encoder_.SynStream(id, headers, &bytes);
  client_.Send(bytes);
  return id;
}

void SpdyClient::Write(std::uint32_t id, const std::string& data, bool fin) {
  std::string bytes;
  encoder_.Data(id, data, fin, &bytes);
  client_.Send(bytes);
}

void SpdyClient::Reset(std::uint32_t id) {
  std::string bytes;
  encoder_.Reset(id, SpdyReset::kCancel, &bytes);
  client_.Send(bytes);
}

void SpdyClient::Ping(std::uint32_t id) {
  std::string bytes;
  encoder_.Ping(id, &bytes);
  client_.Send(bytes);
}

bool SpdyClient::Until(const std::function<bool()>& condition) {
  while (!condition()) {
    const std::string bytes = client_.Receive();
    if (bytes.empty() || !decoder_.Feed(bytes, *this).ok()) return condition();
  }
  return true;
}

void SpdyClient::OnData(std::uint32_t id, std::string_view piece, bool fin) {
  streams_[id].data.append(piece);
  if (fin) streams_[id].fin = true;
}

}  // namespace burstlet::kube::test
