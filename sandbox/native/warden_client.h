// The agent's end of a warden's control connection: one request, one reply, with a deadline.
//
// Owner: NativeSandbox or the pool. Threads: any, one call at a time (a lock inside). Failure: kUnavailable when the
// warden is gone, kDeadlineExceeded when it does not answer; after either the connection is closed and every further
// call fails at once. An errno that the warden answers is not a failure of the call: see the reply.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/os/unique_fd.h"
#include "sandbox/warden/protocol.h"
#include "sandbox/warden/wire.h"

namespace burstlet::sandbox {

/// A reply and what came with it.
struct WardenAnswer {
  warden::Reply reply;
  warden::FdList fds;

  /// The descriptor for `bit` (warden::FdMask), now the caller's; -1 when it did not come.
  int Take(std::uint32_t bit);
};

class WardenClient {
 public:
  explicit WardenClient(UniqueFd socket) : socket_(std::move(socket)) {}

  /// Connects to a warden's socket in the directory `directory_fd` and greets it. The peer's pid is from the kernel.
  struct Adopted {
    UniqueFd socket;
    pid_t pid = 0;
  };
  static absl::StatusOr<Adopted> Connect(int directory_fd, const std::string& boot_id, bool events);

  /// The same without a greeting: also a warden of another version has a pid.
  static absl::StatusOr<Adopted> Reach(int directory_fd);

  /// Waits for the record a new warden sends once its namespaces exist.
  /// `user_namespace` gets the pod's own one, if it has one.
  absl::Status AwaitReady(UniqueFd* user_namespace = nullptr);
  absl::Status Call(warden::Request& request, const std::vector<int>& fds, WardenAnswer& answer);

 private:
  absl::Status WaitReadable();

  std::mutex mutex_;
  UniqueFd socket_;
  std::uint32_t sequence_ = 0;
};

/// The boot id of this boot of the host.
absl::StatusOr<std::string> BootId();

/// A socket bound as kWardenSocketName in the directory, not listening: that is the warden's to do.
absl::StatusOr<UniqueFd> BindWardenSocket(int directory_fd);

}  // namespace burstlet::sandbox
