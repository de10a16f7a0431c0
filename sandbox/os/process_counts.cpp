#include "sandbox/os/process_counts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "sandbox/os/unique_fd.h"

namespace burstlet::sandbox {
namespace {

void CountDescriptors(pid_t pid, ProcessCounts& counts) {
  DIR* stream = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str());
  if (stream == nullptr) return;
  while (const dirent* entry = readdir(stream)) {
    if (entry->d_name[0] == '.') continue;
    ++counts.file_descriptors;
    char target[16];
    const ssize_t size = readlinkat(dirfd(stream), entry->d_name, target, sizeof(target));
    if (size >= 7 && std::memcmp(target, "socket:", 7) == 0) ++counts.sockets;
  }
  closedir(stream);
}

}  // namespace

ProcessCounts CountProcesses(const std::vector<pid_t>& pids, pid_t first) {
  ProcessCounts counts;
  counts.processes = pids.size();
  for (const pid_t pid : pids) CountDescriptors(pid, counts);
  rlimit files{};
  if (first > 0 && prlimit(first, RLIMIT_NOFILE, nullptr, &files) == 0) {
    counts.max_open_files = files.rlim_cur == RLIM_INFINITY ? -1 : static_cast<std::int64_t>(files.rlim_cur);
  }
  return counts;
}

}  // namespace burstlet::sandbox
