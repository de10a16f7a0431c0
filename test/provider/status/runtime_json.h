// The runtime view of a golden case, as JSON.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kube/api/pod.h"
#include "provider/runtime_view.h"

namespace burstlet::provider {

struct InstanceJson {
  std::string id;
  std::string state;  // "running" | "exited"
  kube::Time startedAt;
  kube::Time finishedAt;
  std::int32_t exitCode = 0;
  std::int32_t signal = 0;
  bool oomKilled = false;
  std::string reason;
  std::string message;
  std::string image;
  std::string imageID;
  std::optional<kube::LinuxContainerUser> user;
  kube::ResourceRequirements resources;
  bool oldSandbox = false;
  bool restartAsked = false;
  bool removedForRestart = false;
};
BURSTLET_API_FIELDS(InstanceJson, (), id, state, startedAt, finishedAt, exitCode, signal, oomKilled, reason, message,
                    image, imageID, user, resources, oldSandbox, restartAsked, removedForRestart);

struct ContainerJson {
  std::string kind;  // "init" | "app" | "ephemeral"
  std::vector<InstanceJson> instances;
  std::int32_t restartCount = 0;
  std::optional<kube::ContainerStateWaiting> waiting;
  std::optional<bool> startupPassed;
  std::optional<bool> readinessPassed;
};
BURSTLET_API_FIELDS(ContainerJson, (), kind, instances, restartCount, waiting, startupPassed, readinessPassed);

struct RuntimeJson {
  std::map<std::string, ContainerJson> containers;
  bool sandboxReady = false;
  std::vector<std::string> podIPs;
  bool terminated = false;
  bool terminating = false;
  bool restartingAll = false;
  std::optional<kube::ContainerStateWaiting> failure;
  std::int64_t observedGeneration = 0;
  kube::Time startTime;
  kube::Time now;
  std::vector<std::string> hostIPs;
};
BURSTLET_API_FIELDS(RuntimeJson, (), containers, sandboxReady, podIPs, terminated, terminating, restartingAll, failure,
                    observedGeneration, startTime, now, hostIPs);

RuntimeJson DecodeRuntime(const std::string& json);
PodRuntimeView ToView(const RuntimeJson& json);

}  // namespace burstlet::provider
