#include "kube/server/upgrade.h"

#include <algorithm>
#include <string_view>

#include "kube/server/websocket.h"

namespace burstlet::kube {
namespace {

constexpr std::string_view kTunnelPrefix = "SPDY/3.1+";
constexpr char kVersionHeader[] = "X-Stream-Protocol-Version";

bool Contains(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text = "[";
  for (const std::string& word : words) text.append(text.size() > 1 ? " " : "").append(word);
  return text + "]";
}

HttpResponse Refuse(int status, const std::string& why) {
  return TextResponse(status, "unable to upgrade: " + why + "\n");
}

std::variant<Upgrade, HttpResponse> WebSocketUpgrade(const HttpRequest& request, const UpgradeOffer& offer) {
  if (request.method != "GET") return Refuse(405, "a WebSocket is asked for with GET");
  const std::string key = request.Header("Sec-WebSocket-Key");
  if (request.Header("Sec-WebSocket-Version") != "13") {
    HttpResponse response = Refuse(426, "only version 13 of the WebSocket protocol is served");
    response.headers.emplace_back("Sec-WebSocket-Version", "13");
    return response;
  }
  if (!IsWebSocketKey(key)) return Refuse(400, "bad Sec-WebSocket-Key");
  const std::vector<std::string> wanted = request.HeaderTokens("Sec-WebSocket-Protocol");
  Upgrade upgrade;
  upgrade.kind = Upgrade::Kind::kWebSocket;
  std::string answered;
  bool found = wanted.empty() && offer.websocket_without_protocol;
  if (!offer.websocket.empty() && Contains(wanted, offer.websocket.front())) {
    // A client that knows v5 is best served with it, in whatever order it lists its versions.
    answered = upgrade.protocol = offer.websocket.front();
    found = true;
  }
  for (const std::string& protocol : wanted) {
    if (found) break;
    if (Contains(offer.websocket, protocol)) {
      answered = upgrade.protocol = protocol;
      found = true;
    } else if (offer.tunnel && protocol.rfind(kTunnelPrefix, 0) == 0 &&
               Contains(offer.spdy, protocol.substr(kTunnelPrefix.size()))) {
      upgrade.kind = Upgrade::Kind::kSpdyInWebSocket;
      upgrade.protocol = protocol.substr(kTunnelPrefix.size());
      answered = protocol;
      found = true;
    }
  }
  if (!found) {
    return Refuse(
        403, "requested protocol(s) are not supported: " + Joined(wanted) + "; supports " + Joined(offer.websocket));
  }
  HttpResponse response;
  response.status = 101;
  response.headers = {{"Upgrade", "websocket"}, {"Connection", "Upgrade"}};
  response.headers.emplace_back("Sec-WebSocket-Accept", WebSocketAccept(key));
  if (!answered.empty()) response.headers.emplace_back("Sec-WebSocket-Protocol", answered);
  upgrade.head = SerializeHead(response, false, false);
  return upgrade;
}

std::variant<Upgrade, HttpResponse> SpdyUpgrade(const HttpRequest& request, const UpgradeOffer& offer) {
  const std::vector<std::string> wanted = request.HeaderTokens(kVersionHeader);
  if (wanted.empty()) return Refuse(400, std::string("header ") + kVersionHeader + " names no protocol");
  Upgrade upgrade;
  upgrade.kind = Upgrade::Kind::kSpdy;
  for (const std::string& protocol : wanted) {
    if (!Contains(offer.spdy, protocol)) continue;
    upgrade.protocol = protocol;
    HttpResponse response;
    response.status = 101;
    response.headers = {{"Connection", "Upgrade"}, {"Upgrade", "SPDY/3.1"}, {kVersionHeader, protocol}};
    upgrade.head = SerializeHead(response, false, false);
    return upgrade;
  }
  HttpResponse response = Refuse(403, "unable to negotiate protocol: client supports " + Joined(wanted) +
                                          ", server accepts " + Joined(offer.spdy));
  for (const std::string& protocol : offer.spdy) {
    response.headers.emplace_back("X-Accepted-Stream-Protocol-Versions", protocol);
  }
  return response;
}

}  // namespace

std::variant<Upgrade, HttpResponse> ChooseUpgrade(const HttpRequest& request, const UpgradeOffer& offer) {
  bool asks = false;
  for (const std::string& token : request.HeaderTokens("Connection")) asks = asks || EqualsIgnoreCase(token, "upgrade");
  const std::string wanted = ToLower(request.Header("Upgrade"));
  if (asks && wanted == "websocket") return WebSocketUpgrade(request, offer);
  if (asks && wanted.find("spdy/3.1") != std::string::npos) return SpdyUpgrade(request, offer);
  return TextResponse(400, "Upgrade request required\n");
}

}  // namespace burstlet::kube
