// Kernel texts that usage is read from.
#include <catch2/catch.hpp>

#include "sandbox/net/interface_counters.h"
#include "sandbox/os/cgroup_meter.h"

namespace burstlet::sandbox {

TEST_CASE("pressure of a cgroup or the machine") {
  const auto pressure = ParsePressure(
      "some avg10=1.50 avg60=0.75 avg300=0.25 total=123456\nfull avg10=0.10 avg60=0.00 avg300=0.00 total=789\n");
  REQUIRE(pressure.has_value());
  CHECK(pressure->some.avg10 == 1.5);
  CHECK(pressure->some.avg60 == 0.75);
  CHECK(pressure->some.avg300 == 0.25);
  CHECK(pressure->some.total_us == 123456);
  CHECK(pressure->full.avg10 == 0.1);
  CHECK(pressure->full.total_us == 789);
  CHECK_FALSE(ParsePressure("").has_value());
  CHECK_FALSE(ParsePressure("nonsense").has_value());
}

TEST_CASE("transfers by device") {
  const auto io = ParseIoStat("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n253:1 rbytes=7\nbroken\n");
  REQUIRE(io.size() == 2);
  CHECK(io[0].major == 8);
  CHECK(io[0].read_bytes == 1);
  CHECK(io[0].write_bytes == 2);
  CHECK(io[0].reads == 3);
  CHECK(io[0].writes == 4);
  CHECK(io[1].major == 253);
  CHECK(io[1].minor == 1);
  CHECK(io[1].read_bytes == 7);
}

TEST_CASE("interfaces of a namespace, without loopback and the host's ends of pods' pairs") {
  const auto interfaces = ParseNetDev(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls\n"
      "    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0\n"
      "  eth0:    1234      12    3    4    0     0          0         0     5678      56    7    8    0     0\n"
      "bl7f3a-12:   1       1    0    0    0     0          0         0        1       1    0    0    0     0\n"
      "bond0:9 8 7 6 0 0 0 0 5 4 3 2\n");
  REQUIRE(interfaces.size() == 2);
  CHECK(interfaces[0].name == "eth0");
  CHECK(interfaces[0].rx_bytes == 1234);
  CHECK(interfaces[0].rx_packets == 12);
  CHECK(interfaces[0].rx_errors == 3);
  CHECK(interfaces[0].rx_dropped == 4);
  CHECK(interfaces[0].tx_bytes == 5678);
  CHECK(interfaces[0].tx_packets == 56);
  CHECK(interfaces[0].tx_errors == 7);
  CHECK(interfaces[0].tx_dropped == 8);
  CHECK(interfaces[1].name == "bond0");
  CHECK(interfaces[1].tx_dropped == 2);
  CHECK(ParseNetDev("").empty());
}

TEST_CASE("a cgroup that is not there is not found") {
  CgroupMeter meter({true, "/nowhere", "/nowhere", "/nowhere", "/nowhere"});
  CHECK(absl::IsNotFound(meter.Read(StatsDetail::kUsage).status()));
}

}  // namespace burstlet::sandbox
