// The record a sandbox leaves on disk, so that a restarted agent knows what it finds: <root>/sandboxes/<id>/spec.
//
// Pure encoding; the reader is strict (magic, version, every bound, nothing left over) and trusts nothing. It needs
// no fsync: after a crash of the host the boot id makes every record void anyway.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"

namespace burstlet::sandbox {

struct SandboxState {
  SandboxSpec spec;
  std::string boot_id;
  pid_t warden_pid = 0;
  UnixNanos created_at = 0;
  SandboxNetwork network;
};

std::string EncodeState(const SandboxState& state);
absl::StatusOr<SandboxState> DecodeState(const std::string& bytes);

}  // namespace burstlet::sandbox
