// What the EROFS writer makes, against three others: fsck.erofs, the kernel, and the same layer unpacked into files by
// GNU tar and by our own unpacker.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "cache/blob_file.h"
#include "cache/layer_image.h"
#include "cache/layer_mounts.h"
#include "test/cache/erofs_reader.h"
#include "test/cache/random_layer.h"
#include "test/cache/tar_builder.h"
#include "test/cache/temp_dir.h"
#include "test/cache/tree_listing.h"

namespace burstlet::cache {
namespace {

using namespace burstlet::cache::test;

/// Runs a command; its output ends in the test's message when it fails.
bool Shell(const std::string& command, const std::string& log) {
  return std::system((command + " > " + log + " 2>&1").c_str()) == 0;
}

struct MadeImage {
  std::string file;
  LayerImageResult result;
  Digest sum;
};

MadeImage MakeLayer(const TempDir& dir, const std::string& name, const std::string& tar, std::size_t block = 65536) {
  const Fd directory(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto blob = BlobFile::Create(directory.get(), name);
  REQUIRE(blob.ok());
  MemorySource source(tar, block);
  const auto made = WriteLayerImage(source, DigestOf(tar), **blob, {});
  INFO(made.status().ToString());
  REQUIRE(made.ok());
  const auto sum = (*blob)->Finish();
  REQUIRE(sum.ok());
  return {dir / name, *made, *sum};
}

void CheckByFsck(const TempDir& dir, const MadeImage& image) {
  const std::string log = dir / "fsck.log";
  const bool good = Shell("fsck.erofs --extract " + image.file, log);
  INFO(ReadFile(log));
  CHECK(good);
  CHECK(std::filesystem::file_size(image.file) == image.result.image.bytes);
  CHECK(image.result.image.bytes % 4096 == 0);
}

/// The image as the kernel shows it. Root only.
class Mounted {
 public:
  explicit Mounted(const std::string& file) {
    auto mounted = MountImage(file, false);
    if (!mounted.ok()) mounted = MountImage(file, true);
    INFO(mounted.status().ToString());
    REQUIRE(mounted.ok());
    fd_ = *std::move(mounted);
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

 private:
  Fd fd_;
};

void UnpackByUs(const std::string& tar, const std::string& to) {
  std::filesystem::create_directory(to);
  const Fd directory(open(to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  MemorySource source(tar);
  const auto unpacked = Unpack(source, directory.get(), {});
  INFO(unpacked.status().ToString());
  REQUIRE(unpacked.ok());
}

}  // namespace

TEST_CASE("a tree packed by GNU tar reads back as it was", "[erofs][root]") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    TempDir dir;
    const std::string files = dir / "files";
    UnpackByUs(RandomLayerMaker(seed, {false, false}).Make(300).tar, files);
    REQUIRE(mknod((files + "/block").c_str(), S_IFBLK | 0640, makedev(259, 1'000'000)) == 0);
    REQUIRE(mknod((files + "/char").c_str(), S_IFCHR | 0602, makedev(10, 200)) == 0);
    const std::string log = dir / "tar.log";
    const bool packed = Shell(
        "tar -cf " + (dir / "layer.tar") + " -C " + files + " --format=posix --sparse --xattrs --xattrs-include='*' .",
        log);
    INFO(ReadFile(log));
    REQUIRE(packed);
    const MadeImage image = MakeLayer(dir, "layer.erofs", ReadFile(dir / "layer.tar"));
    CheckByFsck(dir, image);
    const Mounted mounted(image.file);
    const auto wanted = ListTree(files), found = ListTree(mounted.path());
    CHECK(Difference(wanted, found) == "");
  }
}

TEST_CASE("trees of a real system, packed by GNU tar, read back as they are", "[erofs][root]") {
  const std::string tree = GENERATE("/etc", "/usr/share/zoneinfo", "/usr/lib/python3");
  if (!std::filesystem::exists(tree)) return;
  TempDir dir;
  const std::string log = dir / "tar.log";
  // Links and attributes whose other names are elsewhere would not compare: a copy stands for the tree.
  const bool packed = Shell("cp -a " + tree + " " + (dir / "files") + " && tar -cf " + (dir / "layer.tar") + " -C " +
                                (dir / "files") + " --format=posix --sparse --xattrs --xattrs-include='*' .",
                            log);
  INFO(ReadFile(log));
  REQUIRE(packed);
  const MadeImage image = MakeLayer(dir, "layer.erofs", ReadFile(dir / "layer.tar"));
  CheckByFsck(dir, image);
  const Mounted mounted(image.file);
  CHECK(Difference(ListTree(dir / "files"), ListTree(mounted.path())) == "");
}

TEST_CASE("a layer's image reads back as the unpacked layer, whiteouts too", "[erofs][root]") {
  for (unsigned seed = 101; seed <= 120; ++seed) {
    INFO("seed " << seed);
    TempDir dir;
    const RandomLayer layer = RandomLayerMaker(seed, {true, false}).Make(300);
    const MadeImage image = MakeLayer(dir, "layer.erofs", layer.tar);
    CheckByFsck(dir, image);
    UnpackByUs(layer.tar, dir / "files");
    const Mounted mounted(image.file);
    const auto wanted = ListTree(dir / "files"), found = ListTree(mounted.path());
    CHECK(found.size() == wanted.size());
    for (const auto& [name, text] : wanted) {
      INFO(name);
      REQUIRE(found.count(name) == 1);
      // What no entry brings (directories on the way, whiteouts) gets time and group from where it was unpacked.
      const bool brought = layer.implied.count(name) == 0 && text.find(" dev 0:0") == std::string::npos;
      const auto own = [&](const std::string& line) {
        return brought ? line : line.substr(0, 1) + line.substr(std::min(line.size(), line.find(" trusted")));
      };
      CHECK(own(found.at(name)) == own(text));
    }
  }
}

TEST_CASE("one layer has one image, however its bytes come", "[erofs]") {
  TempDir dir;
  const RandomLayer layer = RandomLayerMaker(7, {}).Make(400);
  const MadeImage one = MakeLayer(dir, "one", layer.tar), two = MakeLayer(dir, "two", layer.tar, 777);
  CHECK(ReadFile(one.file) == ReadFile(two.file));
  CHECK(one.sum == two.sum);
  const std::string bytes = ReadFile(one.file);
  CHECK(ErofsReader(bytes).ReadAll().size() > 300);
  const Fd directory(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto sum = FileSum(directory.get(), "one", [](std::size_t) { return true; });
  REQUIRE(sum.ok());
  CHECK(*sum == one.sum);
}

TEST_CASE("directories of thousands of names are found by each of them", "[erofs][root]") {
  TempDir dir;
  TarBuilder tar;
  for (int i = 0; i < 5000; ++i)
    tar.File("d/" + std::to_string(i * 7919 % 5000) + std::string(static_cast<std::size_t>(i % 90), 'x'), "x");
  for (const char* name : {"d/!first", "d/-", "d/.a", "d/..b", "d/\x7f"}) tar.File(name, name);
  const MadeImage image = MakeLayer(dir, "layer.erofs", tar.Finish());
  CheckByFsck(dir, image);
  const Mounted mounted(image.file);
  CHECK(CountEntries(mounted.path() + "/d") == 5005);
  for (int i = 0; i < 5000; ++i) {
    const std::string name = std::to_string(i * 7919 % 5000) + std::string(static_cast<std::size_t>(i % 90), 'x');
    REQUIRE(access((mounted.path() + "/d/" + name).c_str(), F_OK) == 0);
  }
  for (const char* name : {"d/!first", "d/-", "d/.a", "d/..b", "d/\x7f"})
    CHECK(ReadFile(mounted.path() + "/" + name) == name);
  CHECK(access((mounted.path() + "/d/none").c_str(), F_OK) != 0);
}

TEST_CASE("a root directory may have attributes that leave no room beside them", "[erofs][root]") {
  for (const std::size_t size : {3900u, 3950u, 4000u, 4096u, 20'000u}) {
    TempDir dir;
    TarBuilder::Options options;
    options.mode = 0750;
    options.xattrs["user.large"] = std::string(size, 'v');
    const MadeImage image = MakeLayer(dir, "layer.erofs", TarBuilder().Dir("./", options).File("f", "x").Finish());
    CheckByFsck(dir, image);
    const std::string bytes = ReadFile(image.file);
    CHECK(ErofsReader(bytes).ReadAll().at(".").xattrs.at("1.large").size() == size);
    const Mounted mounted(image.file);
    CHECK(ReadFile(mounted.path() + "/f") == "x");
    CHECK(XattrText(mounted.path() + "/.").find("/" + std::to_string(size)) != std::string::npos);
  }
}

TEST_CASE("a sparse file of many gigabytes takes the room of its data", "[erofs][root]") {
  TempDir dir;
  // Chunks of a file of this size are 128 KiB; the first and the last byte are data.
  const std::uint64_t size = (std::uint64_t{20} << 30) + 5;
  TarBuilder::Options options;
  const std::string map = "2\n0\n3\n" + std::to_string(size - 3) + "\n3\n";
  std::string pax;
  const auto record = [&](const std::string& key, const std::string& value) {
    std::string line = " " + key + "=" + value + "\n";
    std::size_t length = line.size();
    while (std::to_string(length).size() + line.size() != length) length = std::to_string(length).size() + line.size();
    pax += std::to_string(length) + line;
  };
  record("GNU.sparse.major", "1");
  record("GNU.sparse.minor", "0");
  record("GNU.sparse.name", "big");
  record("GNU.sparse.realsize", std::to_string(size));
  std::string data = map;
  data.resize(512, '\0');
  data += "abcxyz";
  const std::string tar =
      RawTar({.name = "pax", .type = 'x', .data = pax}) + RawTar({.name = "big", .data = data}) + TarEnd();
  const MadeImage image = MakeLayer(dir, "layer.erofs", tar);
  CheckByFsck(dir, image);
  CHECK(image.result.image.bytes < (8u << 20));
  const Mounted mounted(image.file);
  const Fd fd(open((mounted.path() + "/big").c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(fd.valid());
  CHECK(static_cast<std::uint64_t>(lseek(fd.get(), 0, SEEK_END)) == size);
  char text[8] = {};
  CHECK(pread(fd.get(), text, 8, 0) == 8);
  CHECK(std::string(text, 4) == std::string("abc\0", 4));
  CHECK(pread(fd.get(), text, 8, static_cast<off_t>(size - 4)) == 4);
  CHECK(std::string(text, 4) == std::string("\0xyz", 4));
  CHECK(pread(fd.get(), text, 8, off_t{10} << 30) == 8);
  CHECK(std::string(text, 8) == std::string(8, '\0'));
}

TEST_CASE("names and attributes beyond the limit end in an error, not in memory", "[erofs]") {
  TarBuilder tar;
  for (int i = 0; i < 20'000; ++i) tar.File("file-" + std::to_string(i));
  const std::string text = tar.Finish();
  MemorySource source(text);
  TempDir dir;
  const Fd directory(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto blob = BlobFile::Create(directory.get(), "blob");
  REQUIRE(blob.ok());
  UnpackLimits limits;
  limits.max_metadata_bytes = 1u << 20;
  const auto made = WriteLayerImage(source, DigestOf(text), **blob, limits);
  CHECK(made.status().code() == absl::StatusCode::kResourceExhausted);
}

}  // namespace burstlet::cache
