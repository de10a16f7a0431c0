// What must survive the agent for a pod: itself as admitted, and who its containers are.
//
// The warden is the truth about processes (running, exit codes); the record adds what a warden does not know (image,
// image digest, messages) and keeps the pod for the case that it is deleted while no agent runs. Written before a
// container starts, so that an adopted container is never without its name. Atomic: write, rename; no fsync, since
// after a host crash nothing that it describes is alive. Threads: any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"
#include "provider/paths.h"
#include "provider/runtime_view.h"

namespace burstlet::provider {

struct ContainerRecord {
  std::string name;
  std::string id;
  std::int64_t attempt = 0;
  std::string image;
  std::string imageID;
  std::int64_t stopSignal = 15;
  /// Set when the run ended and its warden has forgotten it (removed container, lost sandbox).
  bool ended = false;
  std::int64_t exitCode = 0;
  std::int64_t signal = 0;
  bool oomKilled = false;
  std::int64_t startedAt = 0;
  std::int64_t finishedAt = 0;
  std::string reason;
  std::string message;
  kube::ResourceRequirements resources;  // as applied
  /// See ContainerInstance: what only the node knows of why a run ended.
  bool restartForResize = false;
  bool restartAsked = false;
  bool removedForRestart = false;
};
BURSTLET_API_FIELDS(ContainerRecord, (), name, id, attempt, image, imageID, stopSignal, ended, exitCode, signal,
                    oomKilled, startedAt, finishedAt, reason, message, resources, restartForResize, restartAsked,
                    removedForRestart);

struct PodRecord {
  kube::Pod pod;  // with the resources that are allocated to it
  AppliedPodResources applied;
  std::int64_t observedGeneration = 0;
  kube::Time startTime;
  std::vector<ContainerRecord> containers;  // newest two runs of each
  std::vector<std::string> images;          // ids of what must stay in the image store as long as the pod lives
  /// The pod has ended: nothing of it may ever be started again.
  bool terminated = false;
  /// Why the node ended it (deadline, eviction): the containers alone would not tell.
  std::string failureReason;
  std::string failureMessage;
};
BURSTLET_API_FIELDS(PodRecord, (), pod, applied, observedGeneration, startTime, containers, images, terminated,
                    failureReason, failureMessage);

absl::Status WritePodRecord(const AgentPaths& paths, const PodRecord& record);
/// kNotFound: none; kDataLoss: unreadable (the caller logs and sweeps).
absl::StatusOr<PodRecord> ReadPodRecord(const AgentPaths& paths, const std::string& uid);
/// UIDs with a directory below pods/.
std::vector<std::string> ListPodRecords(const AgentPaths& paths);

}  // namespace burstlet::provider
