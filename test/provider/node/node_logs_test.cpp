// The node's log folder on a real file system: what is found, and that nothing else is.
#include "provider/node_logs.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <future>

#include "sandbox/os/unique_fd.h"
#include "test/cache/temp_dir.h"

namespace burstlet::provider::test {
namespace {

namespace fs = std::filesystem;

void Write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << text;
}

std::string ReadAll(const absl::StatusOr<kube::NodeLogSource>& source) {
  INFO(source.status().ToString());
  REQUIRE(source.ok());
  REQUIRE(!source->directory);
  const sandbox::UniqueFd fd(source->fd);
  std::string text;
  char buffer[65536];
  ssize_t count = 0;
  while ((count = read(fd.get(), buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<std::size_t>(count));
  return text;
}

/// A log folder, and a secret outside of it.
struct Host {
  Host() {
    Write(dir / "log/plain.log", "plain\n");
    Write(dir / "log/sub/deep/file", "deep\n");
    Write(dir / "log/web/web.log", "web\n");
    Write(dir / "secret", "secret\n");
    Write(dir / "log-beside", "beside\n");
  }
  absl::StatusOr<kube::NodeLogSource> Open(const std::string& path) { return OpenNodeLog(dir / "log", path); }
  void Link(const std::string& target, const std::string& name) { fs::create_symlink(target, dir / ("log/" + name)); }
  absl::StatusOr<kube::NodeLogSource> Ask(std::vector<std::string> services, bool options = false) {
    kube::NodeLogRequest request;
    request.query.emplace();
    request.query->services = std::move(services);
    if (options) request.query->tail_lines = 1;
    std::promise<absl::StatusOr<kube::NodeLogSource>> promise;
    auto future = promise.get_future();
    // No such program: a host without a journal.
    const kube::NodeLogs logs = MakeNodeLogs(dir / "log", "/no/such/journalctl");
    logs(request, [&](absl::StatusOr<kube::NodeLogSource> source) { promise.set_value(std::move(source)); });
    return future.get();
  }
  cache::test::TempDir dir;
};

}  // namespace

TEST_CASE("logs are listed and read below their folder", "[node_logs]") {
  Host host;
  const auto top = host.Open("");
  REQUIRE(top.ok());
  CHECK(top->directory);
  CHECK(top->names == std::vector<std::string>{"plain.log", "sub/", "web/"});
  const auto sub = host.Open("sub/");
  REQUIRE(sub.ok());
  CHECK(sub->names == std::vector<std::string>{"deep/"});
  const auto file = host.Open("plain.log");
  CHECK(file->size == 6);
  CHECK(ReadAll(file) == "plain\n");
  CHECK(ReadAll(host.Open("/sub//deep/./file")) == "deep\n");
  for (const char* missing : {"none", "plain.log/x", "sub/none/file"}) {
    INFO(missing);
    CHECK(absl::IsNotFound(host.Open(missing).status()));
  }
  CHECK(absl::IsNotFound(host.Open(std::string(300, 'n')).status()));
  CHECK(absl::IsNotFound(OpenNodeLog(host.dir / "none", "").status()));
}

TEST_CASE("no path leads out of the log folder", "[node_logs]") {
  Host host;
  for (const char* path : {"..", "../secret", "sub/../../secret", "sub/../plain.log", "/../secret"}) {
    INFO(path);
    CHECK(absl::IsInvalidArgument(host.Open(path).status()));
  }
  CHECK(absl::IsInvalidArgument(host.Open(std::string("plain.log\0x", 11)).status()));
  host.Link(host.dir / "secret", "absolute");
  host.Link("../secret", "relative");
  host.Link("..", "up");
  host.Link("/", "root");
  host.Link(host.dir / "log-beside", "beside");  // the folder's name is a prefix of it
  for (const std::string path : {"absolute", "relative", "up", "up/secret", "root/etc/passwd", "beside"}) {
    INFO(path);
    CHECK(absl::IsPermissionDenied(host.Open(path).status()));
  }
  host.Link("/proc/self/root", "magic");
  CHECK(!host.Open("magic/etc/passwd").ok());
  host.Link("loop", "loop");
  CHECK(absl::IsNotFound(host.Open("loop").status()));
}

TEST_CASE("links of logs to logs are followed, wherever the folder itself is", "[node_logs]") {
  Host host;
  host.Link(host.dir / "log/sub/deep/file", "absolute");
  host.Link("sub/deep/../../plain.log", "relative");
  CHECK(ReadAll(host.Open("absolute")) == "deep\n");
  CHECK(ReadAll(host.Open("relative")) == "plain\n");
  fs::create_symlink(host.dir / "log", host.dir / "moved");
  CHECK(ReadAll(OpenNodeLog(host.dir / "moved", "absolute")) == "deep\n");
}

TEST_CASE("what is no file blocks nobody", "[node_logs]") {
  Host host;
  REQUIRE(mkfifo((host.dir / "log/pipe").c_str(), 0600) == 0);
  CHECK(absl::IsPermissionDenied(host.Open("pipe").status()));
  host.Link("/dev/null", "device");
  CHECK(absl::IsPermissionDenied(host.Open("device").status()));
}

TEST_CASE("services without a journal are files, by three names", "[node_logs]") {
  Host host;
  Write(host.dir / "log/exact", "exact\n");
  CHECK(ReadAll(host.Ask({"exact"})) == "exact\n");
  CHECK(ReadAll(host.Ask({"plain"})) == "plain\n");
  CHECK(ReadAll(host.Ask({"web"})) == "web\n");
  CHECK(ReadAll(host.Ask({"web", "none", "plain"})) == "web\n\nlog not found for none\nplain\n");
  CHECK(host.Ask({"none"}).status().message() == "log not found for none");
  CHECK(absl::IsNotFound(host.Ask({"none"}).status()));
  CHECK(absl::IsOutOfRange(host.Ask({"plain"}, true).status()));
  host.Link(host.dir / "secret", "sneaky.log");
  CHECK(absl::IsPermissionDenied(host.Ask({"sneaky"}).status()));
}

}  // namespace burstlet::provider::test
