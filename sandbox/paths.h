// Where the native driver keeps what it knows, all below the agent's root directory (0700):
//
//   <root>/sandboxes/<pod uid>/spec          what the sandbox is: SandboxSpec, warden, boot id, addresses
//                             /warden.sock   the warden's socket, how a restarted agent adopts the pod
//                             /containers/<container id>/upper, work   its writable layer
//   <root>/trash/                            renamed here first, deleted by the janitor; swept at start
//   <root>/scratch/                          where an older kernel's overlay stands for a moment
//
// Pure functions; ids are checked before they become path parts.
#pragma once

#include <string>

namespace burstlet::sandbox {

class Paths {
 public:
  explicit Paths(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string Sandboxes() const { return root_ + "/sandboxes"; }
  std::string Sandbox(const std::string& id) const { return Sandboxes() + "/" + id; }
  std::string Spec(const std::string& id) const { return Sandbox(id) + "/spec"; }
  std::string Containers(const std::string& id) const { return Sandbox(id) + "/containers"; }
  std::string Container(const std::string& id, const std::string& container) const {
    return Containers(id) + "/" + container;
  }
  std::string Trash() const { return root_ + "/trash"; }
  std::string Scratch() const { return root_ + "/scratch"; }

  /// [a-z0-9-]+ (and '_', '.' inside), short enough for a file name.
  static bool ValidId(const std::string& id);

 private:
  std::string root_;
};

inline constexpr const char* kWardenSocketName = "warden.sock";

}  // namespace burstlet::sandbox
