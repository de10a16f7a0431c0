// Port-forward over the channels of a WebSocket: the ports are named in the query, each has a connection of its own.
//
// Port number i has channel 2i for data, both ways, and 2i+1 for what went wrong; the first message on each is the
// port, two bytes, little endian. There is no half-close: the client ends all by closing, the server when no
// connection is left. Clients that have no SPDY (Python's) ask for it. Memory: as in port_forward.h. Threads: the
// connection's strand. Source: cri-streaming/pkg/streaming/portforward/websocket.go.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/server/port_forward.h"
#include "kube/server/upgrade.h"

namespace burstlet::kube {

inline constexpr const char* kWebSocketForwardProtocols[] = {"v4.channel.k8s.io", "v4.base64.channel.k8s.io"};

/// The values of `port`, each a number or several with commas. kInvalidArgument names what is wrong, for the client.
absl::StatusOr<std::vector<std::uint16_t>> ForwardedPorts(const HttpRequest& request);

void ServeForwardChannels(Exchange& exchange, const ContainerRef& pod, const DialPort& dial,
                          std::chrono::seconds idle_timeout, const Upgrade& upgrade,
                          const std::vector<std::uint16_t>& ports);

}  // namespace burstlet::kube
