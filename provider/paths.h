// Where the agent keeps what on disk. One root per agent, locked.
//
//   <root-dir>/                0700
//     lock                     flock'ed by the running agent
//     agent.sock               for burstlet ps, logs, exec (0600)
//     pods/<uid>/              0700
//       record.json            the pod as admitted and its containers' identities (provider/pod_record.h)
//       etc-hosts, hostname, resolv.conf
//       containers/<name>/<attempt>.msg    termination message
//       volumes/<plugin>/<volume>/         emptyDir on disk
//     volumes/                 one tmpfs: configMap, secret, projected, downwardAPI
//     sandboxes/, images/, mounts/, trash/ belong to sandbox/ and cache/
//   <podLogsDir>/<ns>_<name>_<uid>/<container>/<attempt>.log
#pragma once

#include <string>

#include "kube/api/pod.h"

namespace burstlet::provider {

struct AgentPaths {
  std::string root_dir;
  std::string pod_logs_dir;

  std::string PodDir(const std::string& uid) const { return root_dir + "/pods/" + uid; }
  std::string PodFile(const std::string& uid, const std::string& name) const { return PodDir(uid) + "/" + name; }
  std::string TerminationMessage(const std::string& uid, const std::string& container, unsigned attempt) const {
    return PodDir(uid) + "/containers/" + container + "/" + std::to_string(attempt) + ".msg";
  }
  std::string PodLogDir(const kube::Pod& pod) const {
    return pod_logs_dir + "/" + pod.metadata.namespace_ + "_" + pod.metadata.name + "_" + pod.metadata.uid;
  }
  std::string ContainerLog(const kube::Pod& pod, const std::string& container, unsigned attempt) const {
    return PodLogDir(pod) + "/" + container + "/" + std::to_string(attempt) + ".log";
  }
};

}  // namespace burstlet::provider
