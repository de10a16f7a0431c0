// A plan: steps as flat data, compiled by the agent (native/launch_plan) and carried out by a warden or its child.
//
// Layout, little-endian, everything aligned to 8: { u16 kind, u16 0, u32 size, payload } repeated. A payload is a row
// of fields: a number is a u64; a text is a u64 length, the bytes, a NUL, padding. Descriptors are named by their
// index in the message the plan came with. The reader checks every bound; one bad step makes the plan bad.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace burstlet::warden {

enum class StepKind : std::uint16_t {
  kNone = 0,
  // Of a sandbox (kSetup).
  kHostname = 1,    // text
  kDomainname = 2,  // text
  kSysctl = 3,      // text path below /proc/sys, text value
  kVolume = 4,      // number fd (or kMqueueVolume): attached as the next volume
  kShm = 5,         // number bytes: the pod's /dev/shm
  // Of a container's file system, carried out in their order.
  kRootfs = 20,    // number fd
  kBind = 21,      // number source (BindSource), number index, text sub path, text target, number flags
  kMountFs = 22,   // text type, text target, number MOUNT_ATTR_*, number flags, number n, n texts "key=value" or "key"
  kNode = 23,      // text path, number mode, number rdev, number uid, number gid
  kSymlink = 24,   // text content, text path
  kMask = 25,      // text path
  kReadOnly = 26,  // text path
  kConsole = 27,   // text path: the tty is bound here
  kReadOnlyRoot = 28,
  // Of a process, collected first and carried out in the one safe order.
  kCgroup = 40,  // number fd of cgroup.procs
  kCgroupNamespace = 41,
  kUser = 42,          // number uid, number gid, number n, n numbers
  kCapabilities = 43,  // number bounding, number permitted = effective, number ambient
  kNoNewPrivileges = 44,
  kSeccomp = 45,       // text: sock_filter[]
  kRlimit = 46,        // number resource, number soft, number hard
  kOomScoreAdj = 47,   // number (two's complement)
  kWorkingDir = 48,    // text
  kArgument = 49,      // text
  kEnvironment = 50,   // text
  kSeccompFlags = 51,  // number SECCOMP_FILTER_FLAG_*
  kAppArmor = 52,      // text: the profile of what is executed
  // For the agent's own use after a restart.
  kLogPath = 60,  // text
  kStopSignal = 61,
  kPidTarget = 62,  // text: id of the container whose pid namespace it is in
};

inline constexpr std::uint64_t kMqueueVolume = ~0ull;

enum class BindSource : std::uint64_t { kFd = 0, kVolume = 1, kShm = 2 };

enum BindFlags : std::uint64_t {
  kBindReadOnly = 1,
  kBindRecursiveReadOnly = 2,
  kBindSlave = 4,
  kBindShared = 8,
  kBindIdMapped = 16,
};

enum MountFsFlags : std::uint64_t {
  kTargetNoLinks = 1,  // no part of the target may be a symbolic link (CVE-2019-16884 and kin)
  kOptional = 2,       // a file system this kernel or this namespace does not give is left out
};

/// Reads the fields of one step. After a failure every read yields nothing and ok() is false.
class FieldReader {
 public:
  FieldReader() = default;
  FieldReader(const std::uint8_t* data, std::size_t size) : at_(data), left_(size) {}

  std::uint64_t Number() {
    std::uint64_t value = 0;
    if (left_ < sizeof(value)) return Fail();
    std::memcpy(&value, at_, sizeof(value));
    Advance(sizeof(value));
    return value;
  }
  /// A NUL-terminated text inside the plan; "" after a failure. `size` gets its length (texts may hold NULs).
  const char* Text(std::size_t* size = nullptr) {
    std::uint64_t length = Number();
    if (!ok_ || length >= left_ || at_[length] != 0) {
      Fail();
      if (size != nullptr) *size = 0;
      return "";
    }
    const char* text = reinterpret_cast<const char*>(at_);
    if (size != nullptr) *size = length;
    std::size_t padded = (length + 1 + 7) & ~std::size_t{7};
    if (padded > left_) {
      Fail();
      return "";
    }
    Advance(padded);
    return text;
  }
  bool ok() const { return ok_; }
  /// Nothing is left.
  bool done() const { return left_ == 0; }

 private:
  std::uint64_t Fail() {
    ok_ = false;
    left_ = 0;
    return 0;
  }
  void Advance(std::size_t size) {
    at_ += size;
    left_ -= size;
  }
  const std::uint8_t* at_ = nullptr;
  std::size_t left_ = 0;
  bool ok_ = true;
};

/// Walks the steps of a plan.
class PlanReader {
 public:
  PlanReader() = default;
  PlanReader(const void* data, std::size_t size) : at_(static_cast<const std::uint8_t*>(data)), left_(size) {}

  /// False at the end, and at the first step that does not fit (then ok() is false).
  bool Next(StepKind& kind, FieldReader& fields) {
    if (left_ == 0) return false;
    if (left_ < 8) return Fail();
    std::uint16_t raw;
    std::uint32_t size;
    std::memcpy(&raw, at_, sizeof(raw));
    std::memcpy(&size, at_ + 4, sizeof(size));
    if (size % 8 != 0 || size > left_ - 8) return Fail();
    kind = static_cast<StepKind>(raw);
    fields = FieldReader(at_ + 8, size);
    at_ += 8 + size;
    left_ -= 8 + size;
    return true;
  }
  bool ok() const { return ok_; }

 private:
  bool Fail() {
    ok_ = false;
    left_ = 0;
    return false;
  }
  const std::uint8_t* at_ = nullptr;
  std::size_t left_ = 0;
  bool ok_ = true;
};

}  // namespace burstlet::warden
