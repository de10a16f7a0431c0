// Writes what sandbox/warden/plan.h reads: steps of numbers and texts, aligned to 8 bytes.
//
// Owner: whoever compiles a plan. Pure data. Nothing fails; the size is checked when the plan is sent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sandbox/os/unique_fd.h"
#include "sandbox/warden/plan.h"

namespace burstlet::sandbox {

/// Fields in a row; also the format of the sandbox's own record on disk.
class FieldWriter {
 public:
  FieldWriter& Number(std::uint64_t value);
  FieldWriter& Text(std::string_view text);
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class PlanWriter {
 public:
  void Add(warden::StepKind kind, const FieldWriter& fields);
  void Add(warden::StepKind kind) { Add(kind, FieldWriter()); }
  void AddText(warden::StepKind kind, std::string_view text) { Add(kind, FieldWriter().Text(text)); }
  void AddNumber(warden::StepKind kind, std::uint64_t number) { Add(kind, FieldWriter().Number(number)); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// The plan as a sealed memfd, as it travels. kInvalidArgument when it is too large.
absl::StatusOr<UniqueFd> PlanFile(const std::string& bytes);
/// The bytes of such a file.
absl::StatusOr<std::string> ReadPlanFile(int fd);

}  // namespace burstlet::sandbox
