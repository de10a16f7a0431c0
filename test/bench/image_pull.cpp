// Cold pulls from a real registry on this machine into an empty store, format by format: wall, CPU, memory, disk.
//
//   image_pull [RUNS]                        the table, each figure the median of RUNS (3)
//   image_pull --pull REFERENCE FORMAT ROOT  one pull; prints milliseconds and KiB of memory above those before it
//
// Each pull is a process of its own, so that CPU (user and system) and peak memory are its alone; the registry's are
// not counted. Nothing here passes or fails by its figures.
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <random>
#include <vector>

#include "cache/local_image_store.h"
#include "test/cache/docker_registry.h"
#include "test/cache/image_builder.h"
#include "test/cache/temp_dir.h"

extern char** environ;

namespace {

using namespace burstlet::cache;
using namespace burstlet::cache::test;

/// Text that deflates about as well as programs and libraries do.
std::string Content(std::mt19937* random, std::size_t size) {
  std::string out;
  out.reserve(size + 32);
  while (out.size() < size) {
    const unsigned word = (*random)();
    if (word % 3 == 0) {
      for (unsigned i = 0; i < 12; ++i) out += static_cast<char>((*random)());
    } else {
      out += "the same phrase number ";
      out += std::to_string(word % 50);
    }
  }
  out.resize(size);
  return out;
}

TestLayer Layer(int files, std::size_t size, bool zstd) {
  std::mt19937 random(7);
  TarBuilder tar;
  for (int i = 0; i < files; ++i) {
    const std::string directory = "usr/lib/d" + std::to_string(i / 40);
    if (i % 40 == 0) tar.Dir(directory + "/");
    tar.File(directory + "/file-" + std::to_string(i), Content(&random, size / 2 + random() % (size + 1)));
  }
  const std::string text = tar.Finish();
  return zstd ? ZstdLayer(text) : GzipLayer(text);
}

/// Of this program alone: getrusage's figure survives exec and would be the parent's.
long PeakMemoryKiB() {
  const std::string status = ReadFile("/proc/self/status");
  const std::size_t at = status.find("VmHWM:");
  return at == std::string::npos ? 0 : std::atol(status.c_str() + at + 6);
}

int PullOnce(const std::string& reference, const std::string& format, const std::string& root) {
  auto store = LocalImageStore::Open(root, {}, {.format = format});
  if (!store.ok()) {
    std::fprintf(stderr, "%s\n", store.status().ToString().c_str());
    return 1;
  }
  const long before = PeakMemoryKiB();
  const auto start = std::chrono::steady_clock::now();
  const auto pulled = (*store)->Pull({reference, {}, nullptr});
  const std::chrono::duration<double, std::milli> wall = std::chrono::steady_clock::now() - start;
  if (!pulled.ok()) {
    std::fprintf(stderr, "%s\n", pulled.status().ToString().c_str());
    return 1;
  }
  std::printf("%f %ld\n", wall.count(), PeakMemoryKiB() - before);
  return 0;
}

struct Figures {
  double wall_ms = 0;
  double cpu_ms = 0;
  double memory_mib = 0;
  double disk_mib = 0;
};

double DiskMiB(const std::string& root) {
  double total = 0;
  for (const auto& item : std::filesystem::recursive_directory_iterator(root + "/layers")) {
    struct stat st = {};
    if (lstat(item.path().c_str(), &st) == 0) total += static_cast<double>(st.st_blocks) * 512;
  }
  return total / (1 << 20);
}

Figures Measure(const std::string& self, const std::string& reference, const std::string& format) {
  TempDir dir;
  const std::string root = dir / "images";
  sync();
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) std::exit(1);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 1);
  std::vector<std::string> arguments = {self, "--pull", reference, format, root};
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  if (posix_spawn(&pid, self.c_str(), &actions, nullptr, argv.data(), environ) != 0) std::exit(1);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_fds[1]);
  std::string out;
  char buffer[4096];
  for (ssize_t got; (got = read(pipe_fds[0], buffer, sizeof(buffer))) > 0;)
    out.append(buffer, static_cast<std::size_t>(got));
  close(pipe_fds[0]);
  rusage usage = {};
  int status = 0;
  wait4(pid, &status, 0, &usage);
  Figures figures;
  long memory = 0;
  // The store's log shares the output; the figures are its last line.
  const std::size_t line = out.rfind('\n', out.size() < 2 ? 0 : out.size() - 2);
  const char* last = out.c_str() + (line == std::string::npos ? 0 : line + 1);
  if (status != 0 || std::sscanf(last, "%lf %ld", &figures.wall_ms, &memory) != 2) {
    std::fprintf(stderr, "pull failed: %s\n", out.c_str());
    std::exit(1);
  }
  const auto ms = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3;
  };
  figures.cpu_ms = ms(usage.ru_utime) + ms(usage.ru_stime);
  figures.memory_mib = static_cast<double>(memory) / 1024;
  figures.disk_mib = DiskMiB(root);
  return figures;
}

double Median(const std::vector<Figures>& runs, double Figures::* member) {
  std::vector<double> values;
  for (const Figures& run : runs) values.push_back(run.*member);
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 5 && std::strcmp(argv[1], "--pull") == 0) return PullOnce(argv[2], argv[3], argv[4]);
  const int runs = argc > 1 ? std::max(1, std::atoi(argv[1])) : 3;
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) return 1;
  if (!HaveDockerRegistry()) {
    std::fprintf(stderr, "docker-registry is not installed\n");
    return 1;
  }
  struct Subject {
    const char* name;
    std::function<TestLayer()> layer;
  };
  const Subject subjects[] = {
      {"small: 300 files, 6 MB, gzip", [] { return Layer(300, 20'000, false); }},
      {"many: 30,000 files, 250 MB, gzip", [] { return Layer(30'000, 8'300, false); }},
      {"many: 30,000 files, 250 MB, zstd", [] { return Layer(30'000, 8'300, true); }},
      {"large: 100 files, 500 MB, gzip", [] { return Layer(100, 5'000'000, false); }},
  };
  std::printf(
      "| image | compressed MB | layers as | wall ms | CPU ms | memory MiB | disk MiB "
      "|\n|---|---|---|---|---|---|---|\n");
  DockerRegistry registry;
  int number = 0;
  for (const Subject& subject : subjects) {
    const std::string name = "bench" + std::to_string(number++);
    double compressed = 0;
    {
      const TestImage image = MakeImage({subject.layer()});
      compressed = static_cast<double>(image.layers[0].blob.size()) / 1e6;
      registry.Push(name, "v1", image);
    }
    for (const char* format : {"directory", "erofs", "erofs-loop"}) {
      std::vector<Figures> all;
      for (int run = 0; run < runs; ++run) all.push_back(Measure(self, registry.host() + "/" + name + ":v1", format));
      std::printf("| %s | %.1f | %s | %.0f | %.0f | %.0f | %.0f |\n", subject.name, compressed, format,
                  Median(all, &Figures::wall_ms), Median(all, &Figures::cpu_ms), Median(all, &Figures::memory_mib),
                  Median(all, &Figures::disk_mib));
      std::fflush(stdout);
    }
  }
  return 0;
}
