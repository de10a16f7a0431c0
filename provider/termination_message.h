// A container's last words: its termination message file, or the end of its log. And the removal of old files.
//
// Both files are the container's to write, so they are opened without following links, only as regular files, and read
// with the kubelet's bounds (4096 bytes; 2048 bytes or 80 lines of log). Source: kuberuntime_container.go.
#pragma once

#include <string>
#include <vector>

namespace burstlet::provider {

/// `log_path` empty: no fallback to the log. Missing or unreadable files give "".
std::string ReadTerminationMessage(const std::string& message_path, const std::string& log_path);

void RemoveOldFiles(const std::vector<std::string>& paths);

/// Removes a directory tree without following links or crossing mounts.
void RemoveTree(const std::string& path);

}  // namespace burstlet::provider
