// Properties of the address books over random histories, with a clock of our own.

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "sandbox/net/ipam.h"

namespace burstlet::sandbox {
namespace {

using std::chrono::seconds;
using Time = std::chrono::steady_clock::time_point;

AddressPool MakePool(const std::string& cidr, const Time& now, std::uint64_t start = 0) {
  return AddressPool::Make(*ParseCidr(cidr), seconds(30), start, [&now] { return now; }).value();
}

TEST_CASE("network, gateway and broadcast addresses are never given out", "[net][ipam]") {
  const Time now{};
  AddressPool pool = MakePool("10.1.2.0/29", now, 3);
  std::set<std::string> given;
  for (std::uint64_t i = 0; i < pool.capacity(); ++i) given.insert(pool.Allocate()->ToString());
  CHECK(given == std::set<std::string>{"10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6"});
  CHECK(pool.gateway().ToString() == "10.1.2.1");
  const auto full = pool.Allocate();
  CHECK(absl::IsResourceExhausted(full.status()));
  CHECK(full.status().message() == "all 5 pod addresses of 10.1.2.0/29 are in use");
  CHECK(absl::IsOutOfRange(pool.Reserve(*ParseAddress("10.1.2.0"))));
  CHECK(absl::IsOutOfRange(pool.Reserve(*ParseAddress("10.1.2.1"))));
  CHECK(absl::IsOutOfRange(pool.Reserve(*ParseAddress("10.1.2.7"))));
  CHECK(absl::IsOutOfRange(pool.Reserve(*ParseAddress("10.1.3.2"))));
  CHECK(absl::IsOutOfRange(pool.Reserve(*ParseAddress("fd00::2"))));
}

TEST_CASE("IPv6 ranges larger than any counter work", "[net][ipam]") {
  const Time now{};
  AddressPool pool = MakePool("fd00:1:2:3::/64", now);
  CHECK(pool.Allocate()->ToString() == "fd00:1:2:3::2");
  CHECK(pool.Allocate()->ToString() == "fd00:1:2:3::3");
  AddressPool whole = MakePool("::/0", now);
  CHECK(whole.Allocate().ok());
  AddressPool small = MakePool("fd00::4/126", now);
  CHECK(small.capacity() == 2);
  CHECK(small.Allocate()->ToString() == "fd00::6");
}

TEST_CASE("a freed address rests while others are free, and helps out early when none is", "[net][ipam]") {
  Time now{};
  AddressPool pool = MakePool("10.0.0.0/29", now);
  const IpAddress first = *pool.Allocate();
  pool.Free(first);
  for (int i = 0; i < 4; ++i) CHECK(*pool.Allocate() != first);
  CHECK(pool.early_reuses() == 0);
  now += seconds(29);
  CHECK(*pool.Allocate() == first);
  CHECK(pool.early_reuses() == 1);
  pool.Free(first);
  now += seconds(30);
  CHECK(*pool.Allocate() == first);
  CHECK(pool.early_reuses() == 1);
  // Freed twice counts once.
  pool.Free(first);
  pool.Free(first);
  CHECK(*pool.Allocate() == first);
  CHECK(absl::IsResourceExhausted(pool.Allocate().status()));
}

TEST_CASE("the longest rest is used first, and a reserved address leaves its rest", "[net][ipam]") {
  Time now{};
  AddressPool pool = MakePool("10.0.0.0/29", now);
  std::vector<IpAddress> all;
  for (int i = 0; i < 5; ++i) all.push_back(*pool.Allocate());
  for (const std::size_t i : {3u, 0u, 4u}) {
    pool.Free(all[i]);
    now += seconds(1);
  }
  REQUIRE(pool.Reserve(all[0]).ok());
  CHECK(absl::IsAlreadyExists(pool.Reserve(all[0])));
  CHECK(*pool.Allocate() == all[3]);
  CHECK(*pool.Allocate() == all[4]);
}

TEST_CASE("no address has two owners over random histories", "[net][ipam]") {
  for (const unsigned seed : {1u, 2u, 3u, 4u}) {
    std::mt19937 random(seed);
    Time now{};
    const std::uint64_t start = random();
    AddressPool pool = MakePool("10.9.0.0/26", now, start);
    std::vector<IpAddress> held;
    std::map<IpAddress, Time> freed;
    for (int step = 0; step < 20000; ++step) {
      now += std::chrono::milliseconds(random() % 2000);
      const bool full = held.size() == pool.capacity();
      const unsigned action = random() % 10;
      if (action < 5) {
        const std::uint64_t early = pool.early_reuses();
        const auto address = pool.Allocate();
        REQUIRE(address.ok() == !full);
        if (!address.ok()) continue;
        REQUIRE(std::find(held.begin(), held.end(), *address) == held.end());
        REQUIRE(pool.range().Contains(*address));
        // What was freed lately comes back only when it is counted as early.
        const auto rest = freed.find(*address);
        const bool resting = rest != freed.end() && now - rest->second < seconds(30);
        REQUIRE(resting == (pool.early_reuses() != early));
        held.push_back(*address);
      } else if (action < 9) {
        if (held.empty()) continue;
        const std::size_t which = random() % held.size();
        pool.Free(held[which]);
        freed[held[which]] = now;
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      } else {
        const IpAddress address = pool.range().At(2 + random() % pool.capacity());
        const bool taken = std::find(held.begin(), held.end(), address) != held.end();
        REQUIRE(pool.Reserve(address).ok() == !taken);
        if (!taken) held.push_back(address);
      }
      REQUIRE(pool.held() == held.size());
    }
  }
}

TEST_CASE("addresses and ranges are parsed whole", "[net][ipam]") {
  CHECK(ParseCidr("10.88.3.9/16")->ToString() == "10.88.0.0/16");
  CHECK(ParseCidr("fd00:1::5/64")->ToString() == "fd00:1::/64");
  CHECK(ParseCidr("0.0.0.0/0")->ToString() == "0.0.0.0/0");
  for (const char* text :
       {"", "/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8x", "10.0.0.0/99999999999", "010.0.0.0/8"}) {
    const auto parsed = ParseCidr(text);
    INFO(text);
    REQUIRE(absl::IsInvalidArgument(parsed.status()));
    CHECK(parsed.status().message().find("\"" + std::string(text) + "\"") != std::string::npos);
  }
  CHECK_FALSE(ParseAddress(std::string("10.0.0.1\0x", 10)).ok());
  const Cidr range = *ParseCidr("10.88.0.0/16");
  CHECK(range.At(0x1234).ToString() == "10.88.18.52");
  CHECK(range.OffsetOf(range.At(0xfffe)) == 0xfffe);
  CHECK_FALSE(range.Contains(*ParseAddress("10.89.0.0")));
}

}  // namespace
}  // namespace burstlet::sandbox
