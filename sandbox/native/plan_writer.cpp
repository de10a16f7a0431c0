#include "sandbox/native/plan_writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "metrics/status.h"
#include "sandbox/warden/protocol.h"

namespace burstlet::sandbox {

FieldWriter& FieldWriter::Number(std::uint64_t value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  return *this;
}

FieldWriter& FieldWriter::Text(std::string_view text) {
  Number(text.size());
  bytes_.append(text);
  bytes_.push_back('\0');
  while (bytes_.size() % 8 != 0) bytes_.push_back('\0');
  return *this;
}

void PlanWriter::Add(warden::StepKind kind, const FieldWriter& fields) {
  std::uint64_t header = static_cast<std::uint16_t>(kind) | (static_cast<std::uint64_t>(fields.bytes().size()) << 32);
  bytes_.append(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes_.append(fields.bytes());
}

absl::StatusOr<UniqueFd> PlanFile(const std::string& bytes) {
  if (bytes.size() > warden::kMaxPlanBytes)
    return absl::InvalidArgumentError("arguments, environment and mounts of the container are too large");
  UniqueFd fd(::memfd_create("burstlet-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoError(errno, "memfd");
  if (::write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    return ErrnoError(errno, "memfd");
  // A reader's mapping can't be cut off under it.
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
    return ErrnoError(errno, "seal memfd");
  return fd;
}

absl::StatusOr<std::string> ReadPlanFile(int fd) {
  struct stat status;
  if (::fstat(fd, &status) != 0) return ErrnoError(errno, "plan");
  if (status.st_size < 0 || static_cast<std::size_t>(status.st_size) > warden::kMaxPlanBytes)
    return absl::DataLossError("plan of a bad size");
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  if (::pread(fd, bytes.data(), bytes.size(), 0) != status.st_size) return ErrnoError(errno, "plan");
  return bytes;
}

}  // namespace burstlet::sandbox
