// The addresses of one pod range: which are free, which are held, which rest after use.
//
// Owner: PodNetwork, under its lock; not thread-safe by itself. Nothing is stored: after a restart the survivors'
// addresses come back through Reserve. Failure: kResourceExhausted when every address is held.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <unordered_set>

#include "absl/status/statusor.h"
#include "sandbox/net/address.h"

namespace burstlet::sandbox {

class AddressPool {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  /// The network address, the gateway (the first host address) and IPv4's broadcast address are never given out.
  /// `start` is where the first walk through the range begins (taken modulo its size): a random one makes it unlikely
  /// that a restarted agent soon gives out what its predecessor had just freed.
  static absl::StatusOr<AddressPool> Make(const Cidr& range, std::chrono::seconds rest, std::uint64_t start,
                                          Clock clock);

  /// A free address: one not used yet, else the one freed longest ago, so that reuse comes as late as it can. One
  /// that still rests is given out only when nothing else is left, which is counted.
  absl::StatusOr<IpAddress> Allocate();
  /// Takes a given address out of the pool. kAlreadyExists: it is held. One outside the range is kOutOfRange.
  absl::Status Reserve(const IpAddress& address);
  /// Gives an address back, to rest. Unknown ones are ignored.
  void Free(const IpAddress& address);

  const Cidr& range() const { return range_; }
  IpAddress gateway() const { return range_.At(1); }
  std::uint64_t capacity() const { return count_; }
  std::uint64_t held() const { return held_.size(); }
  /// How often an address was given out before its rest was over: the range is too small for the churn.
  std::uint64_t early_reuses() const { return early_reuses_; }

 private:
  struct Resting {
    std::uint64_t offset;
    std::chrono::steady_clock::time_point since;
  };

  AddressPool(const Cidr& range, std::uint64_t count, std::chrono::seconds rest, std::uint64_t start, Clock clock);
  /// The next offset of the first walk that was never handed out or reserved, or 0.
  std::uint64_t NextUnused();

  Cidr range_;
  std::uint64_t count_;  // offsets kFirst .. kFirst + count_ - 1
  std::chrono::seconds rest_;
  std::uint64_t start_;
  std::uint64_t walked_ = 0;
  Clock clock_;
  std::unordered_set<std::uint64_t> held_;
  std::deque<Resting> resting_;  // oldest first
  std::unordered_set<std::uint64_t> resting_offsets_;
  std::uint64_t early_reuses_ = 0;
};

}  // namespace burstlet::sandbox
