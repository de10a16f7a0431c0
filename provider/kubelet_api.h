// What the kubelet port answers: the server's handlers, carried out on the control loop.
//
// The handlers are called on stream threads; each hands over to the loop and answers from there or from a pool thread.
#pragma once

#include "kube/client.h"
#include "kube/server/kubelet_server.h"
#include "metrics/catalog.h"
#include "provider/config.h"
#include "provider/pod_runtime.h"

namespace burstlet::provider {

/// The references outlive the server that calls the handlers. `client` is for reviews of who asks; null: there are
/// none.
kube::KubeletHandlers MakeKubeletHandlers(kube::Loop& loop, PodRuntime& runtime, kube::Client* client, Metrics& metrics,
                                          const Config& config, const NodeInfo& node);

}  // namespace burstlet::provider
