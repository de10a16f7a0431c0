// Logs on a real file system; the writer is a function that opens the file anew.
#include "provider/log_rotation.h"

#include <zlib.h>

#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

namespace burstlet::provider {
namespace {

namespace fs = std::filesystem;
using std::chrono::system_clock;

struct LogFolder {
  LogFolder() {
    std::string name = (fs::temp_directory_path() / "log-rotation.XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
    log = path + "/0.log";
  }
  ~LogFolder() { fs::remove_all(path); }
  void Write(const std::string& name, const std::string& text) const { std::ofstream(path + "/" + name) << text; }
  std::string Read(const std::string& name) const {
    std::ifstream in(path + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  absl::Status Rotate(int max_files = 5, int at = 0, absl::Status reopened = absl::OkStatus()) const {
    return RotateIfLarge(log, {10, max_files, {}}, system_clock::from_time_t(1'000'000'000 + at), [&] {
      if (reopened.ok()) std::ofstream(log, std::ios::app).flush();
      return reopened;
    });
  }
  std::string path, log;
};

std::string Unzip(const std::string& file) {
  gzFile in = gzopen(file.c_str(), "rb");
  REQUIRE(in != nullptr);
  std::array<char, 4096> buffer;
  const int count = gzread(in, buffer.data(), buffer.size());
  gzclose(in);
  return std::string(buffer.data(), static_cast<std::size_t>(count));
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a log is rotated when it has reached the size, not before", "[logs]") {
  LogFolder logs;
  logs.Write("0.log", "123456789");
  REQUIRE(logs.Rotate().ok());
  CHECK(logs.Names() == Names{"0.log"});
  logs.Write("0.log", "1234567890");
  REQUIRE(logs.Rotate().ok());
  CHECK(logs.Names() == Names{"0.log", "0.log.20010909-014640"});
  CHECK(logs.Read("0.log").empty());
  CHECK(logs.Read("0.log.20010909-014640") == "1234567890");
}

TEST_CASE("rotated logs are compressed the next time, and the oldest go", "[logs]") {
  LogFolder logs;
  for (int i = 0; i < 5; ++i) {
    logs.Write("0.log", "content no " + std::to_string(i));
    REQUIRE(logs.Rotate(4, i).ok());
  }
  // Four files: the new log, the one set aside last, two compressed.
  CHECK(logs.Names() ==
        Names{"0.log", "0.log.20010909-014642.gz", "0.log.20010909-014643.gz", "0.log.20010909-014644"});
  CHECK(Unzip(logs.path + "/0.log.20010909-014642.gz") == "content no 2");
}

TEST_CASE("what an interrupted rotation left is removed", "[logs]") {
  LogFolder logs;
  logs.Write("0.log", "1234567890");
  logs.Write("0.log.20000101-000000", "was compressed already");
  logs.Write("0.log.20000101-000000.gz", "");
  logs.Write("0.log.20000102-000000.tmp", "half");
  logs.Write("1.log", "another run's");
  REQUIRE(logs.Rotate().ok());
  CHECK(logs.Names() == Names{"0.log", "0.log.20000101-000000.gz", "0.log.20010909-014640", "1.log"});
}

TEST_CASE("a writer that can't move to a new file keeps the old one", "[logs]") {
  LogFolder logs;
  logs.Write("0.log", "1234567890");
  CHECK_FALSE(logs.Rotate(5, 0, absl::NotFoundError("ended")).ok());
  CHECK(logs.Names() == Names{"0.log"});
  CHECK(logs.Read("0.log") == "1234567890");
}

TEST_CASE("a log that somebody removed is made anew", "[logs]") {
  LogFolder logs;
  REQUIRE(logs.Rotate().ok());
  CHECK(logs.Names() == Names{"0.log"});
}

TEST_CASE("a run's log goes with all that was rotated away from it", "[logs]") {
  LogFolder logs;
  logs.Write("0.log", "");
  logs.Write("0.log.20000101-000000.gz", "");
  logs.Write("0.log.20000102-000000", "");
  logs.Write("0.logs", "");
  RemoveLogs(logs.log);
  CHECK(logs.Names() == Names{"0.logs"});
}

}  // namespace burstlet::provider
