// Port-forward: many connections to a pod's ports over one SPDY connection, plain or inside a WebSocket.
//
// Per forwarded connection the client opens two streams, "error" and "data", paired by their requestID. Half-close
// counts both ways. One failed connection resets its own two streams, after a text on the error stream; the session
// goes on. Memory: the pod is read while the client takes, the client while the pods take what came before. Threads:
// the connection's strand. Source: cri-streaming/pkg/streaming/portforward/httpstream.go.
#pragma once

#include <chrono>
#include <functional>

#include "kube/server/kubelet_server.h"
#include "kube/server/wire.h"

namespace burstlet::kube {

using DialPort = std::function<void(ContainerRef, std::uint16_t port, Reply<int>)>;

/// Answers the exchange in any case.
void ServePortForward(Exchange& exchange, const ContainerRef& pod, const DialPort& dial,
                      std::chrono::seconds idle_timeout);

}  // namespace burstlet::kube
