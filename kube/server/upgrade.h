// The HTTP upgrade of streaming requests: which protocol, which version, and what the 101 says.
//
// Pure. Failure is the refusal to send (400, 403 with the versions served). Source: RFC 6455 section 4.2,
// streaming/pkg/httpstream Handshake, wsstream, x/net/websocket.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "kube/server/http_message.h"

namespace burstlet::kube {

struct Upgrade {
  enum class Kind { kWebSocket, kSpdy, kSpdyInWebSocket };
  Kind kind = Kind::kSpdy;
  /// The version chosen; may be "" for a WebSocket whose client named none.
  std::string protocol;
  /// The whole 101 response.
  std::string head;
};

struct UpgradeOffer {
  std::vector<std::string> websocket;  // the first one is preferred wherever the client names it
  bool websocket_without_protocol = true;
  std::vector<std::string> spdy;
  /// SPDY inside a WebSocket ("SPDY/3.1+portforward.k8s.io", KEP-4006).
  bool tunnel = false;
};

std::variant<Upgrade, HttpResponse> ChooseUpgrade(const HttpRequest& request, const UpgradeOffer& offer);

}  // namespace burstlet::kube
