// The texts that tell usage, from fixed figures, against golden files (UPDATE_GOLDEN=1 rewrites them).
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "provider/stats/cadvisor_metrics.h"
#include "provider/stats/rates.h"
#include "provider/stats/resource_metrics.h"
#include "provider/stats/summary.h"

namespace burstlet::provider {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = 1'764'000'000 * kSecond + 123'000'000;

sandbox::CgroupStats Usage(std::uint64_t scale) {
  sandbox::CgroupStats usage;
  usage.cpu_usage_ns = scale * 1'500'000'000;
  usage.memory_usage_bytes = scale * (3 << 20);
  usage.memory_working_set_bytes = scale * (2 << 20);
  usage.memory_rss_bytes = scale * (1 << 20);
  usage.page_faults = scale * 100;
  usage.major_page_faults = scale;
  usage.swap_usage_bytes = scale * 4096;
  usage.pids = scale;
  usage.cpu_pressure = sandbox::Pressure{{1.5, 0.75, 0.25, scale * 1000}, {0, 0, 0, 0}};
  usage.memory_pressure = sandbox::Pressure{};
  usage.io_pressure = sandbox::Pressure{{0, 0, 0, 7}, {0, 0, 0, 5}};
  usage.details.cpu_user_ns = scale * 1'000'000'000;
  usage.details.cpu_system_ns = scale * 500'000'000;
  usage.details.cfs_periods = 50 * scale;
  usage.details.cfs_throttled_periods = 5 * scale;
  usage.details.cfs_throttled_ns = 250'000'000 * scale;
  usage.details.memory_cache_bytes = scale * 8192;
  usage.details.memory_inactive_file_bytes = scale * (1 << 20);
  usage.details.own_page_faults = scale * 60;
  usage.details.oom_kills = 1;
  usage.details.block_io = {{8, 0, 4096 * scale, 8192 * scale, scale, 2 * scale}, {7, 9, 1, 1, 1, 1}};
  return usage;
}

sandbox::InterfaceStats Interface(const std::string& name, std::uint64_t scale) {
  return {name, 1000 * scale, 10 * scale, 0, 1, 2000 * scale, 20 * scale, 2, 0};
}

ContainerSample Container(const std::string& name, std::uint64_t scale) {
  ContainerSample container;
  container.name = name;
  container.image = "docker.io/library/web:1";
  container.created_at = container.started_at = kNow - 60 * kSecond;
  container.limits.memory_limit_bytes = 64 << 20;
  container.limits.cpu_quota_us = 50000;
  container.limits.cpu_shares = 512;
  container.stats.id = std::string(8, static_cast<char>('a' + scale));
  container.stats.name = name;
  container.stats.cgroup = "/burstlet/burstable/pod1/" + container.stats.id;
  container.stats.usage = Usage(scale);
  container.stats.processes = {2, 9, 3, 1024};
  container.usage_nano_cores = 25'000'000;
  container.rootfs = DiskUsage{12288, 4, kNow - 30 * kSecond};
  container.logs = DiskUsage{4096, 2, kNow - 30 * kSecond};
  return container;
}

PodSample Pod(const std::string& name) {
  PodSample pod;
  pod.name_space = "default";
  pod.name = name;
  pod.uid = "uid-" + name;
  pod.created_at = kNow - 61 * kSecond;
  pod.limits.memory_limit_bytes = 64 << 20;
  pod.stats.read_at = kNow;
  pod.stats.cgroup = "/burstlet/burstable/pod1";
  pod.stats.pod = Usage(3);
  pod.stats.interfaces = {Interface("eth0", 1), Interface("net1", 2)};
  pod.usage_nano_cores = 30'000'000;
  pod.containers = {Container("main", 1), Container("side", 2)};
  pod.containers[1].limits = {};
  pod.containers[1].rootfs.reset();
  pod.volumes = {{"cache", "", true, {"", 1000, 600, 100, 90, kNow}, {400, 10, kNow}},
                 {"data", "claim", false, {"", 5000, 4000, 50, 40, kNow}, {1000, 10, kNow}}};
  pod.own_files = DiskUsage{4096, 1, kNow};
  return pod;
}

StatsSample Sample() {
  StatsSample sample;
  NodeSample& node = sample.node;
  node.name = "n1";
  node.read_at = kNow;
  node.boot_time = kNow - 3600 * kSecond;
  node.usage = Usage(100);
  node.usage.details.block_io.clear();
  node.usage_nano_cores = 500'000'000;
  node.memory_total_bytes = 4ULL << 30;
  node.huge_pages_bytes = 2 << 20;
  node.swap_total_bytes = 1 << 30;
  node.interfaces = {Interface("eth0", 50)};
  node.fs = {"/dev/vda1", 100'000'000, 60'000'000, 1000, 900, kNow};
  node.images = DiskUsage{30'000'000, 50, kNow - 50 * kSecond};
  node.max_pid = 32768;
  node.running_processes = 200;
  node.disks = {{"/dev/sda", 10, 1, 80, 5, 20, 2, 160, 7, 0, 9, 12}};
  node.device_names = {{{8, 0}, "/dev/sda"}};
  node.system_containers = {{"kubelet", "", kNow - 100 * kSecond, Usage(4), std::nullopt},
                            {"pods", "/burstlet", kNow - 3600 * kSecond, Usage(5), 1'000'000}};
  sample.pods = {Pod("web-1")};
  PodSample young = Pod("young \"one\"");
  young.containers.clear();
  young.volumes.clear();
  young.own_files.reset();
  young.stats.interfaces.clear();
  young.stats.pod.cpu_pressure.reset();
  young.usage_nano_cores.reset();
  sample.pods.push_back(std::move(young));
  return sample;
}

MachineInfo Machine() { return {4, 2, 1, "machine", "system", "boot", "6.1.0", "Debian GNU/Linux 12 (bookworm)"}; }

void CheckGolden(const std::string& name, const std::string& text) {
  const std::string path = std::string(BURSTLET_SOURCE_DIR) + "/test/testdata/stats/" + name;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ostringstream want;
  want << std::ifstream(path).rdbuf();
  CHECK(text == want.str());
}

}  // namespace

TEST_CASE("the Summary API has the kubelet's members") { CheckGolden("summary.json", SummaryJson(Sample(), false)); }

TEST_CASE("only CPU and memory of the Summary API") {
  CheckGolden("summary_cpu_memory.json", SummaryJson(Sample(), true));
}

TEST_CASE("resource metrics have the kubelet's families, labels and moments") {
  CheckGolden("resource_metrics.txt", ResourceMetricsText(Sample()));
}

TEST_CASE("cadvisor's families and labels") {
  CheckGolden("cadvisor_metrics.txt", CadvisorMetricsText(Sample(), Machine()));
}

TEST_CASE("a scrape that could not read all says so") {
  StatsSample sample;
  sample.failed = true;
  CHECK(ResourceMetricsText(sample).find("\nresource_scrape_error 1\n") != std::string::npos);
  CHECK(CadvisorMetricsText(sample, Machine()).find("\ncontainer_scrape_error 1\n") != std::string::npos);
}

TEST_CASE("ephemeral storage is layers, logs, emptyDirs and the pod's own files, once one is measured") {
  PodSample pod = Pod("p");
  const auto sum = EphemeralStorage(pod);
  REQUIRE(sum.has_value());
  CHECK(sum->bytes == 12288 + 2 * 4096 + 400 + 4096);  // not the claim's 1000
  CHECK(sum->inodes == 4 + 2 * 2 + 10 + 1);
  CHECK_FALSE(EphemeralStorage(PodSample()).has_value());
}

TEST_CASE("CPU rates are taken over a window, whoever asks in between") {
  CpuRates rates;
  CHECK_FALSE(rates.Update("/", 100, kNow, 0).has_value());
  CHECK(rates.Update("pod", 2 * kSecond, kNow, kNow - 4 * kSecond) == 500'000'000);  // since it started
  CHECK(rates.Update("pod", 3 * kSecond, kNow + kSecond, 0) == 500'000'000);         // too soon for another
  CHECK(rates.Update("pod", 12 * kSecond, kNow + 10 * kSecond, 0) == 1'000'000'000);
  // A counter that begins anew is no negative rate.
  CHECK_FALSE(rates.Update("pod", 1, kNow + 20 * kSecond, 0).has_value());
  rates.Purge(kNow + 21 * kSecond);
  CHECK_FALSE(rates.Update("pod", 5 * kSecond, kNow + 30 * kSecond, 0).has_value());
}

TEST_CASE("what the text of 500 pods costs", "[.bench]") {
  StatsSample sample = Sample();
  sample.pods.assign(500, Pod("web-1"));
  for (PodSample& pod : sample.pods) pod.containers.resize(1);
  const auto measure = [&](const char* name, auto make) {
    const auto begin = std::chrono::steady_clock::now();
    std::size_t bytes = 0;
    for (int i = 0; i < 20; ++i) bytes = make().size();
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count() / 20;
    std::cout << name << ": " << ms << " ms, " << bytes << " bytes\n";
  };
  measure("resource", [&] { return ResourceMetricsText(sample); });
  measure("summary", [&] { return SummaryJson(sample, false); });
  measure("cadvisor", [&] { return CadvisorMetricsText(sample, Machine()); });
}

}  // namespace burstlet::provider
