#include "sandbox/net/ipam.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::sandbox {
namespace {

// Offset 0 is the network address, 1 the gateway.
constexpr std::uint64_t kFirst = 2;
// IPv6 ranges are larger than any counter needs; more addresses than this are never in use on one host.
constexpr std::uint64_t kMostAddresses = std::uint64_t{1} << 31;

}  // namespace

absl::StatusOr<AddressPool> AddressPool::Make(const Cidr& range, std::chrono::seconds rest, std::uint64_t start,
                                              Clock clock) {
  const unsigned host_bits = static_cast<unsigned>(range.base.size() * 8) - range.prefix_length;
  // Two bits leave one pod address in IPv4: 4 minus network, gateway and broadcast.
  if (host_bits < 2) {
    return absl::InvalidArgumentError(absl::StrCat("the address range ", range.ToString(), " is too small for pods"));
  }
  const std::uint64_t size = host_bits >= 32 ? kMostAddresses : std::uint64_t{1} << host_bits;
  const std::uint64_t count = size - kFirst - (range.base.v6 ? 0 : 1);
  return AddressPool(range, count, rest, start % count, std::move(clock));
}

AddressPool::AddressPool(const Cidr& range, std::uint64_t count, std::chrono::seconds rest, std::uint64_t start,
                         Clock clock)
    : range_(range), count_(count), rest_(rest), start_(start), clock_(std::move(clock)) {}

std::uint64_t AddressPool::NextUnused() {
  while (walked_ < count_) {
    const std::uint64_t offset = kFirst + (start_ + walked_) % count_;
    ++walked_;
    if (!held_.contains(offset) && !resting_offsets_.contains(offset)) return offset;
  }
  return 0;
}

absl::StatusOr<IpAddress> AddressPool::Allocate() {
  std::uint64_t offset = NextUnused();
  if (offset == 0) {
    if (resting_.empty()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("all ", count_, " pod addresses of ", range_.ToString(), " are in use"));
    }
    const Resting oldest = resting_.front();
    if (clock_() - oldest.since < rest_) ++early_reuses_;
    resting_.pop_front();
    resting_offsets_.erase(oldest.offset);
    offset = oldest.offset;
  }
  held_.insert(offset);
  return range_.At(offset);
}

absl::Status AddressPool::Reserve(const IpAddress& address) {
  const std::uint64_t offset = range_.Contains(address) ? range_.OffsetOf(address) : 0;
  if (offset < kFirst || offset >= kFirst + count_) {
    return absl::OutOfRangeError(
        absl::StrCat(address.ToString(), " is not a pod address of the range ", range_.ToString()));
  }
  if (!held_.insert(offset).second) {
    return absl::AlreadyExistsError(absl::StrCat("the pod address ", address.ToString(), " is in use"));
  }
  if (resting_offsets_.erase(offset) != 0) {
    std::erase_if(resting_, [offset](const Resting& resting) { return resting.offset == offset; });
  }
  return absl::OkStatus();
}

void AddressPool::Free(const IpAddress& address) {
  if (!range_.Contains(address)) return;
  const std::uint64_t offset = range_.OffsetOf(address);
  if (held_.erase(offset) == 0) return;
  resting_.push_back({offset, clock_()});
  resting_offsets_.insert(offset);
}

}  // namespace burstlet::sandbox
