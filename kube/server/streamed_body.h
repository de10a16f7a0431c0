// A successful answer whose length nobody knows when it begins: chunked, or ended by the connection for HTTP/1.0.
//
// Threads: the connection's strand. Owner: the stream that makes the body.
#pragma once

#include <string>

#include "kube/server/wire.h"

namespace burstlet::kube {

class StreamedBody {
 public:
  explicit StreamedBody(const HttpRequest& request) : chunked_(!request.http_1_0) {}

  std::string Head(const std::string& content_type) const;
  void Send(Wire& wire, std::string data) const;
  /// The client has sent more than its request: the connection cannot serve another one.
  void NoteSurplus() { surplus_ = true; }
  /// Ends the body, and the connection where it cannot go on.
  void End(Wire& wire) const;

 private:
  bool chunked_;
  bool surplus_ = false;
};

}  // namespace burstlet::kube
