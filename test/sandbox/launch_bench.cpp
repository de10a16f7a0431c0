// How long a pod takes: run by name only (test_sandbox "[bench]"), prints milliseconds, asserts nothing about time.
#include "test/sandbox/sandbox_fixture.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

namespace burstlet::sandbox::test {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void Print(const char* name, std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  std::printf("%-22s n=%zu  min %6.2f ms  p50 %6.2f  p90 %6.2f  p99 %6.2f  max %6.2f\n", name, samples.size(),
              samples[0], samples[samples.size() / 2], samples[samples.size() * 9 / 10],
              samples[samples.size() * 99 / 100], samples.back());
}

double CpuMs() {
  double total = 0;
  for (int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    total += static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
             static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
  }
  return total;
}

std::size_t SumPss(const std::string& name) {
  std::size_t total = 0;
  for (int pid = 1; pid < 200000; ++pid) {
    std::string base = absl::StrCat("/proc/", pid);
    if (::access(base.c_str(), F_OK) != 0 || Slurp(base + "/comm").rfind(name, 0) != 0) continue;
    std::string text = Slurp(base + "/smaps_rollup");
    std::size_t at = text.find("Pss:");
    if (at != std::string::npos) total += std::stoul(text.substr(at + 4));
  }
  return total;
}

std::size_t MemInfo(const char* key) {
  std::string text = Slurp("/proc/meminfo");
  std::size_t at = text.find(absl::StrCat(key, ":"));
  return at == std::string::npos ? 0 : std::stoul(text.substr(at + std::string(key).size() + 1));
}

std::size_t KernelKb() { return MemInfo("Slab") + MemInfo("KernelStack") + MemInfo("PageTables") + MemInfo("Percpu"); }

}  // namespace

TEST_CASE("launch: create, start, remove one after another", "[.][bench]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture(8);
  std::vector<double> create, start, remove;
  double cpu = CpuMs();
  for (int i = 0; i < 200; ++i) {
    std::string id = absl::StrCat("pod-", i);
    Clock::time_point at = Clock::now();
    Sandbox& sandbox = fixture.Create(fixture.PodSpec(id));
    create.push_back(Since(at));
    ContainerSpec spec = fixture.ShellSpec(id + "-a", "sleep 1000");
    at = Clock::now();
    REQUIRE(sandbox.Start(spec).ok());
    start.push_back(Since(at));
    at = Clock::now();
    REQUIRE(sandbox.Remove().ok());
    remove.push_back(Since(at));
    fixture.sandboxes.clear();
  }
  Print("create (pool of 8)", create);
  Print("start", start);
  Print("remove", remove);
  std::printf("CPU per pod (agent and reaped children): %.2f ms\n", (CpuMs() - cpu) / 200);
}

TEST_CASE("memory: a hundred idle pods", "[.][bench]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture(0);
  std::size_t kernel = KernelKb();
  Clock::time_point at = Clock::now();
  for (int i = 0; i < 100; ++i) {
    std::string id = absl::StrCat("pod-", i);
    Sandbox& sandbox = fixture.Create(fixture.PodSpec(id));
    REQUIRE(sandbox.Start(fixture.CommandSpec(id + "-a", {"/bin/sleep", "1000"})).ok());
  }
  std::printf("100 pods: %.0f ms, wardens' PSS %zu KiB a pod, kernel %zu KiB a pod\n", Since(at),
              SumPss("burstlet-warden") / 100 + SumPss("memfd:burstlet") / 100, (KernelKb() - kernel) / 100);
  for (auto& sandbox : fixture.sandboxes) REQUIRE(sandbox->Remove().ok());
}

}  // namespace burstlet::sandbox::test
