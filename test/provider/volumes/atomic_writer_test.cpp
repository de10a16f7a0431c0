#include "provider/volumes/atomic_writer.h"

#include <fcntl.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "test/provider/volumes/volume_dir.h"

namespace burstlet::provider {
namespace {

using test::ReadText;
using test::VolumeDir;

namespace fs = std::filesystem;

Payload Files(std::initializer_list<std::pair<std::string, std::string>> files) {
  Payload payload;
  for (const auto& [path, data] : files) payload[path].data = data;
  return payload;
}

std::vector<std::string> Names(const VolumeDir& dir) { return ListNames(dir.fd()).value(); }

}  // namespace

TEST_CASE("a payload is written behind one link", "[volumes]") {
  VolumeDir dir;
  Payload payload = Files({{"config", "a"}, {"sub/deep/key", "b"}, {"sub/other", ""}});
  payload["config"].mode = 0400;
  CHECK(WritePayload(dir.fd(), payload, std::nullopt).value());
  CHECK(ReadText(dir / "config") == "a");
  CHECK(ReadText(dir / "sub/deep/key") == "b");
  CHECK(ReadText(dir / "sub/other").empty());
  CHECK(fs::read_symlink(dir / "config") == "..data/config");
  CHECK(fs::read_symlink(dir / "sub") == "..data/sub");
  CHECK(fs::is_symlink(dir / "..data"));
  const std::string stamped = fs::read_symlink(dir / "..data");
  CHECK(stamped.rfind("..20", 0) == 0);
  CHECK(test::ModeOf(dir / (stamped + "/config")) == 0400);
  CHECK(test::ModeOf(dir / stamped) == 0755);
  CHECK(Names(dir).size() == 4);
}

TEST_CASE("unchanged content is not written again", "[volumes]") {
  VolumeDir dir;
  const Payload payload = Files({{"a", "1"}, {"b/c", "2"}});
  CHECK(WritePayload(dir.fd(), payload, std::nullopt).value());
  const auto before = fs::read_symlink(dir / "..data");
  CHECK_FALSE(WritePayload(dir.fd(), payload, std::nullopt).value());
  CHECK(fs::read_symlink(dir / "..data") == before);
  // A link that a crash kept from being made is made up for.
  fs::remove(dir / "a");
  CHECK_FALSE(WritePayload(dir.fd(), payload, std::nullopt).value());
  CHECK(ReadText(dir / "a") == "1");
}

TEST_CASE("an update replaces, adds and removes files, and leaves nothing of the old", "[volumes]") {
  VolumeDir dir;
  REQUIRE(WritePayload(dir.fd(), Files({{"a", "1"}, {"gone", "x"}, {"d/x", "1"}, {"e/y", "1"}}), std::nullopt).ok());
  CHECK(WritePayload(dir.fd(), Files({{"a", "2"}, {"new", "n"}, {"d/z", "3"}}), std::nullopt).value());
  CHECK(ReadText(dir / "a") == "2");
  CHECK(ReadText(dir / "new") == "n");
  CHECK(ReadText(dir / "d/z") == "3");
  CHECK_FALSE(fs::exists(dir / "d/x"));
  const std::string stamped = fs::read_symlink(dir / "..data");
  CHECK(Names(dir) == std::vector<std::string>{stamped, "..data", "a", "d", "new"});
  // A file less is a change, even when all others are the same.
  CHECK(WritePayload(dir.fd(), Files({{"a", "2"}, {"new", "n"}}), std::nullopt).value());
  CHECK_FALSE(fs::exists(fs::symlink_status(dir / "d")));
  CHECK(WritePayload(dir.fd(), {}, std::nullopt).value());
  CHECK(Names(dir).size() == 2);
}

TEST_CASE("what a crash left is swept by the next write", "[volumes]") {
  VolumeDir dir;
  REQUIRE(WritePayload(dir.fd(), Files({{"a", "1"}}), std::nullopt).ok());
  fs::create_directories(dir / "..2020_01_01_00_00_00.1/sub");
  fs::create_symlink("nowhere", dir / "..data_tmp");
  fs::create_symlink("..data/old", dir / "old");
  fs::create_directory(dir / "mount-point");
  REQUIRE(WritePayload(dir.fd(), Files({{"a", "2"}}), std::nullopt).ok());
  const std::string stamped = fs::read_symlink(dir / "..data");
  CHECK(Names(dir) == std::vector<std::string>{stamped, "..data", "a", "mount-point"});
}

TEST_CASE("a file's folder and name can't lead out of the volume", "[volumes]") {
  struct Row {
    std::string path;
    bool good;
  };
  const Row rows[] = {{"a", true},
                      {"a/b/c", true},
                      {"a/./b", true},
                      {"...", false},
                      {"", false},
                      {"/etc/x", false},
                      {"..", false},
                      {"../x", false},
                      {"a/../b", false},
                      {"..x", false},
                      {"..data", false},
                      {"a/..x", true},
                      {"./..data", false},
                      {".", false},
                      {"./", false},
                      {std::string(256, 'n'), false},
                      {std::string("a\0b", 3), false}};
  for (const Row& row : rows) {
    INFO(row.path);
    CHECK(ValidatePayloadPath(row.path).ok() == row.good);
  }
  VolumeDir dir;
  CHECK_FALSE(WritePayload(dir.fd(), Files({{"ok", ""}, {"../out", "x"}}), std::nullopt).ok());
  CHECK(Names(dir).empty());
}

TEST_CASE("a failed write leaves the old content", "[volumes]") {
  VolumeDir dir;
  REQUIRE(WritePayload(dir.fd(), Files({{"a", "1"}}), std::nullopt).ok());
  // A name that is a file and a folder at once.
  CHECK_FALSE(WritePayload(dir.fd(), Files({{"a", "2"}, {"b", "x"}, {"b/c", "x"}}), std::nullopt).ok());
  CHECK(ReadText(dir / "a") == "1");
  CHECK(Names(dir).size() == 3);
}

TEST_CASE("links planted in a volume are neither followed nor believed", "[volumes]") {
  VolumeDir outside;
  test::WriteText(outside / "secret", "keep");
  fs::create_directory(outside / "sub");
  VolumeDir dir;
  REQUIRE(WritePayload(dir.fd(), Files({{"secret", "1"}, {"sub/x", "1"}}), std::nullopt).ok());
  const std::string stamped = fs::read_symlink(dir / "..data");

  // ..data leads outside; so do a file and a folder of the content.
  fs::remove(dir / "..data");
  fs::create_symlink(outside.path(), dir / "..data");
  CHECK(WritePayload(dir.fd(), Files({{"secret", "2"}, {"sub/x", "2"}}), std::nullopt).value());
  CHECK(ReadText(dir / "secret") == "2");

  const std::string current = fs::read_symlink(dir / "..data");
  fs::remove(dir / (current + "/secret"));
  fs::create_symlink(outside / "secret", dir / (current + "/secret"));
  fs::remove_all(dir / (current + "/sub"));
  fs::create_symlink(outside / "sub", dir / (current + "/sub"));
  CHECK(WritePayload(dir.fd(), Files({{"secret", "keep"}, {"sub/x", "3"}}), std::nullopt).value());
  CHECK(ReadText(dir / "sub/x") == "3");
  CHECK(ReadText(outside / "secret") == "keep");
  CHECK(fs::is_empty(outside / "sub"));
  CHECK_FALSE(fs::exists(dir / stamped));
}

TEST_CASE("files belong to the group and the user that are asked for", "[volumes][root]") {
  NEEDS_ROOT();
  VolumeDir dir;
  Payload payload = Files({{"token", "t"}, {"d/e/f", "x"}});
  payload["token"].mode = 0600;
  payload["token"].uid = 1234;
  GroupOwnership group;
  group.gid = 4321;
  group.read_only = true;
  REQUIRE(WritePayload(dir.fd(), payload, group).ok());
  const std::string stamped = fs::read_symlink(dir / "..data");
  CHECK(test::OwnerOf(dir / (stamped + "/token")) == 1234);
  CHECK(test::GroupOf(dir / (stamped + "/token")) == 4321);
  CHECK(test::ModeOf(dir / (stamped + "/token")) == 0640);
  CHECK(test::ModeOf(dir / (stamped + "/d/e/f")) == 0644);
  CHECK(test::GroupOf(dir / (stamped + "/d/e")) == 4321);
  CHECK(test::ModeOf(dir / (stamped + "/d/e")) == 02755);
  CHECK(test::ModeOf(dir / (stamped + "/d")) == 02755);
  CHECK(test::GroupOf(dir / stamped) == 4321);
  CHECK(test::GroupOf(dir.path()) == 4321);
}

TEST_CASE("a reader beside the writer sees whole versions only", "[volumes]") {
  VolumeDir dir;
  auto version = [](int number) {
    const std::string text = std::to_string(number) + std::string(3000, 'x');
    return Files({{"first", text}, {"second", text}, {"deep/third", text}});
  };
  REQUIRE(WritePayload(dir.fd(), version(0), std::nullopt).ok());
  std::atomic<bool> stop{false};
  std::atomic<int> torn{0};
  std::atomic<int> whole{0};
  std::thread reader([&] {
    while (!stop) {
      // As a careful program does it: open ..data once, read all below it.
      const int data = ::openat(dir.fd(), "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      // Between reading the link and following it the version may have gone: the next try sees the new one.
      if (data < 0) continue;
      std::vector<std::string> texts;
      for (const char* name : {"first", "second", "deep/third"}) {
        const int fd = ::openat(data, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0) break;  // the version has just been removed: the next round sees the new one
        std::string text(4096, '\0');
        const ssize_t got = ::read(fd, text.data(), text.size());
        text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        texts.push_back(text);
        ::close(fd);
      }
      ::close(data);
      for (const auto& text : texts) torn += text != texts[0] || text.size() < 3000 ? 1 : 0;
      if (texts.size() == 3) ++whole;
    }
  });
  int written = 0;
  for (int i = 1; i <= 100 || whole < 10; ++i) written += WritePayload(dir.fd(), version(i), std::nullopt).value();
  stop = true;
  reader.join();
  CHECK(written >= 100);
  CHECK(torn == 0);
  CHECK(whole >= 10);
}

}  // namespace burstlet::provider
