// The node's own logs for `/logs/`: what lies below a folder, and services' logs out of the journal.
//
// A path is followed wherever its links lead, as long as what is opened lies below the folder; nothing else is ever
// read. A service is asked of journalctl when the journal knows its unit, else it is a file of the folder: NAME,
// NAME.log or NAME/NAME.log. Threads: any; the work is done on two threads of its own. Failure: kube/server's codes
// (node_log_query.h), with a text for the client. Source: pkg/kubelet/kubelet_server_journal{,_linux}.go.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kube/server/node_log_query.h"

namespace burstlet::provider {

/// Where they are on any Linux.
inline constexpr const char* kNodeLogFolder = "/var/log";

/// A file or a directory below `folder`; `path` may be empty, and end in a slash.
absl::StatusOr<kube::NodeLogSource> OpenNodeLog(const std::string& folder, const std::string& path);

/// `journalctl` is the program; "": the host's, if there is one.
kube::NodeLogs MakeNodeLogs(std::string folder = kNodeLogFolder, std::string journalctl = "");

}  // namespace burstlet::provider
