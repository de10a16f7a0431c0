// A pod's volumes: made ready before its sandbox, kept fresh while it runs, removed after it.
//
// Content that comes from the API server (configMap, secret, downwardAPI, projected) is written with the kubelet's
// atomic writer (a timestamped directory behind the `..data` link) into directories of one tmpfs per node,
// `<root-dir>/volumes`; emptyDir on disk lies in `<root-dir>/pods/<uid>/volumes`. Owner: node_agent. Loop thread only
// (files are written on the worker pool). Failure: Status whose message names the volume and the kubelet's words; the
// caller makes the FailedMount event and retries.
// Sources: pkg/volume/{configmap,secret,projected,downwardapi,emptydir,hostpath}, pkg/volume/util/atomic_writer.go.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "kube/async/offload.h"
#include "kube/async/task_group.h"
#include "kube/client.h"
#include "kube/object_watch.h"
#include "provider/node_info.h"
#include "provider/translate/translate.h"
#include "provider/volumes/credentials.h"

namespace burstlet::provider {

/// Where a pod's objects come from: the API server's watches, or the documents of `burstlet run`.
class ObjectSource {
 public:
  virtual ~ObjectSource() = default;
  virtual kube::Task<absl::StatusOr<std::shared_ptr<const kube::ConfigMap>>> GetConfigMap(std::string name_space,
                                                                                          std::string name) = 0;
  virtual kube::Task<absl::StatusOr<std::shared_ptr<const kube::Secret>>> GetSecret(std::string name_space,
                                                                                    std::string name) = 0;
  /// The pod's objects are needed from now on (watches start), or no more.
  virtual void Acquire(const kube::Pod& pod) { (void)pod; }
  virtual void Release(const std::string& uid) { (void)uid; }
  /// A token bound to the pod. kUnimplemented without an API server.
  virtual kube::Task<absl::StatusOr<kube::TokenRequestStatus>> CreateToken(std::shared_ptr<const kube::Pod> pod,
                                                                           std::string audience,
                                                                           std::int64_t expiration_seconds) = 0;
  /// Trust anchors as PEM; kNotFound: there are none. kUnimplemented without an API server.
  virtual kube::Task<absl::StatusOr<std::string>> GetTrustAnchors(TrustKey key);
  /// Key and certificate of a podCertificate source; an error while (or because) it is not issued. kUnimplemented
  /// without an API server.
  virtual kube::Task<absl::StatusOr<CredentialBundle>> GetPodCertificate(std::shared_ptr<const kube::Pod> pod,
                                                                         CertificateKey key);
};

class VolumeManager {
 public:
  virtual ~VolumeManager() = default;
  /// Makes all volumes of the pod ready. Idempotent; also after an agent restart.
  virtual kube::Task<absl::StatusOr<ReadyVolumes>> Mount(std::shared_ptr<const kube::Pod> pod,
                                                         std::vector<std::string> pod_ips) = 0;
  /// Content of a mounted pod may have changed (an object, or the pod's own metadata): rewrites what differs. Also
  /// takes up a pod that the agent before this one mounted: call it once for each adopted pod.
  virtual void Refresh(std::shared_ptr<const kube::Pod> pod) = 0;
  /// Removes everything of the pod. Never follows links, never leaves the pod's directories.
  virtual kube::Task<absl::Status> Unmount(std::string uid) = 0;
  /// UIDs that have directories on disk, for the sweep after a restart.
  virtual std::vector<std::string> KnownPods() = 0;
};

struct VolumeManagerConfig {
  std::string root_dir;
};

absl::StatusOr<std::unique_ptr<VolumeManager>> NewVolumeManager(const VolumeManagerConfig& config, kube::Loop& loop,
                                                                kube::WorkerPool& pool, kube::TaskGroup& tasks,
                                                                ObjectSource& objects, const NodeInfo& node);

}  // namespace burstlet::provider
