// The two kubeconfigs of a node that bootstraps: whether the one it has still counts, and how the one it gets is
// written.
//
// Pure but for reading the files that a kubeconfig names. Source: pkg/kubelet/certificate/bootstrap/bootstrap.go.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "kube/client.h"

namespace burstlet::kube {

/// OK when the client certificate of `config` is there, fits its key and none of its chain has expired at `now`.
absl::Status CheckClientCertificate(const ClientConfig& config, std::chrono::system_clock::time_point now);

/// A kubeconfig for the cluster of `bootstrap`, whose user presents certificate and key of the file `pair_path`.
std::string BootstrappedKubeconfig(const ClientConfig& bootstrap, const std::string& pair_path);

}  // namespace burstlet::kube
