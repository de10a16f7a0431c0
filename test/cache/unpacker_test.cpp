// What an archive may do to a layer directory and must not do to anything else.
//
// Each case unpacks into <tmp>/layer with sentinel files around it (and some outside, by absolute path); afterwards
// the sentinels are as they were, whatever the result. The names are containerd's (pkg/archive/tar_test.go).
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>

#include "cache/fd.h"
#include "cache/layer_image.h"
#include "cache/unpacker.h"
#include "test/cache/erofs_reader.h"
#include "test/cache/memory_sink.h"
#include "test/cache/tar_builder.h"
#include "test/cache/temp_dir.h"

namespace burstlet::cache {
namespace {

using namespace burstlet::cache::test;

/// A layer directory among things that must stay untouched.
class Sandpit {
 public:
  Sandpit() {
    for (const char* name : {"layer", "outside", "outside/dir"}) std::filesystem::create_directory(dir_ / name);
    std::ofstream(dir_ / "outside/secret") << "sentinel";
    std::ofstream(dir_ / "passwd") << "sentinel";
    chmod((dir_ / "outside/secret").c_str(), 0640);
    before_ = Describe();
  }

  absl::StatusOr<UnpackResult> Unpack(const std::string& tar, const UnpackLimits& limits = {}) {
    const Fd fd(open(layer().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    MemorySource source(tar, 1000);
    auto result = cache::Unpack(source, fd.get(), limits);
    CHECK(Describe() == before_);
    CHECK(access("/burstlet-escaped", F_OK) != 0);
    CHECK(access("/etc/burstlet-escaped", F_OK) != 0);
    CheckImage(tar, limits, result);
    return result;
  }
  /// Must not fail.
  void UnpackOk(const std::string& tar) {
    const auto result = Unpack(tar);
    INFO(result.status().ToString());
    REQUIRE(result.ok());
  }

  std::string layer() const { return dir_ / "layer"; }
  std::string at(const std::string& name) const { return layer() + "/" + name; }
  std::string outside() const { return dir_ / "outside"; }
  struct stat Stat(const std::string& name) const {
    struct stat st = {};
    INFO(name);
    REQUIRE(lstat(at(name).c_str(), &st) == 0);
    return st;
  }
  bool Has(const std::string& name) const {
    struct stat st = {};
    return lstat(at(name).c_str(), &st) == 0;
  }
  bool IsWhiteout(const std::string& name) const {
    const struct stat st = Stat(name);
    return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
  }
  bool IsOpaque(const std::string& name) const {
    char value[4] = {};
    return lgetxattr(at(name).c_str(), "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
  }

 private:
  /// The same layer as an EROFS image is refused or accepted likewise, and has the same names, types and contents.
  void CheckImage(const std::string& tar, const UnpackLimits& limits, const absl::StatusOr<UnpackResult>& unpacked) {
    MemorySource source(tar, 1000);
    MemorySink sink;
    const auto made = WriteLayerImage(source, DigestOf(tar), sink, limits);
    INFO("image: " << made.status().ToString() << ", files: " << unpacked.status().ToString());
    REQUIRE(made.ok() == unpacked.ok());
    if (!made.ok()) return;
    CHECK(made->content.size_bytes == unpacked->size_bytes);
    auto nodes = ErofsReader(sink.bytes).ReadAll();
    nodes.erase(".");
    std::erase_if(nodes, [](const auto& item) {  // device nodes are in images only
      const auto& inode = item.second.inode;
      return S_ISBLK(inode.mode) || (S_ISCHR(inode.mode) && inode.where != 0);
    });
    std::size_t names = 0;
    for (const auto& item : std::filesystem::recursive_directory_iterator(layer())) {
      const std::string name = item.path().string().substr(layer().size() + 1);
      INFO(name);
      ++names;
      const auto node = nodes.find(name);
      REQUIRE(node != nodes.end());
      const struct stat st = Stat(name);
      CHECK(node->second.inode.mode == st.st_mode);
      CHECK(node->second.inode.uid == st.st_uid);
      if (S_ISREG(st.st_mode) && st.st_size < 4096) CHECK(node->second.content == ReadFile(item.path()));
      if (S_ISREG(st.st_mode)) CHECK(node->second.inode.nlink == st.st_nlink);
      if (S_ISLNK(st.st_mode)) CHECK(node->second.content == std::filesystem::read_symlink(item.path()).string());
      if (S_ISDIR(st.st_mode)) CHECK(node->second.xattrs.count("4.overlay.opaque") == (IsOpaque(name) ? 1 : 0));
    }
    CHECK(names == nodes.size());
  }

  /// Names, modes, link counts and contents of all but the layer.
  std::string Describe() const {
    std::string out;
    for (const char* name : {"", "outside", "outside/dir", "outside/secret", "passwd"}) {
      struct stat st = {};
      lstat((dir_ / name).c_str(), &st);
      out += std::string(name) + " " + std::to_string(st.st_mode) + " " + std::to_string(st.st_nlink) + " " +
             std::to_string(st.st_uid) + " " + (S_ISREG(st.st_mode) ? ReadFile(dir_ / name) : "") + "\n";
    }
    return out + std::to_string(CountEntries(outside())) + " " + std::to_string(CountEntries(dir_.path()));
  }

  TempDir dir_;
  std::string before_;
};

std::string Up(int levels, const std::string& rest) {
  std::string out;
  for (int i = 0; i < levels; ++i) out += "../";
  return out + rest;
}

}  // namespace

TEST_CASE("files keep content, mode, owner and time", "[unpack]") {
  Sandpit pit;
  TarBuilder::Options options;
  options.mode = 04755;
  options.uid = 1234;
  options.gid = 2'000'000'000;
  options.mtime = 1'234'567'890;
  pit.UnpackOk(TarBuilder().Dir("./", 0751).Dir("usr/bin/", 01777).File("usr/bin/su", "binary", options).Finish());
  const struct stat st = pit.Stat("usr/bin/su");
  CHECK(st.st_mode == (S_IFREG | 04755));
  CHECK(st.st_uid == 1234);
  CHECK(st.st_gid == 2'000'000'000);
  CHECK(st.st_mtime == 1'234'567'890);
  CHECK(pit.Stat("usr/bin").st_mode == (S_IFDIR | 01777));
  CHECK(pit.Stat("usr/bin").st_mtime == 1'600'000'000);
  CHECK(pit.Stat("").st_mode == (S_IFDIR | 0751));
  CHECK(ReadFile(pit.at("usr/bin/su")) == "binary");
}

TEST_CASE("symbolic links never lead a later entry out of the layer", "[unpack][breakout]") {
  struct Case {
    const char* name;
    std::function<void(TarBuilder&, const std::string&)> build;
  };
  const std::vector<Case> cases = {
      {"SymlinkAbsolute",
       [](TarBuilder& t, const std::string& out) { t.Symlink("l", out).File("l/burstlet-escaped", "x"); }},
      {"SymlinkUpAndOut",
       [](TarBuilder& t, const std::string&) { t.Symlink("l", "../outside").File("l/burstlet-escaped", "x"); }},
      {"SymlinkMultipleAbsolute",
       [](TarBuilder& t, const std::string& out) {
         t.Symlink("a", "/b").Symlink("b", out).File("a/burstlet-escaped", "x");
       }},
      {"SymlinkMultipleRelative",
       [](TarBuilder& t, const std::string&) {
         t.Symlink("a", "b").Symlink("b", "../outside").File("a/burstlet-escaped", "x");
       }},
      {"SymlinkEmptyFile", [](TarBuilder& t, const std::string& out) { t.Symlink("l", out + "/new").File("l"); }},
      {"SymlinkEmptyFilename",
       [](TarBuilder& t, const std::string& out) { t.Symlink("l", out + "/secret").File("l", "overwritten"); }},
      {"SymlinkParentDirectory",
       [](TarBuilder& t, const std::string& out) { t.Symlink("d", out).Dir("d/dir/", 0777); }},
      {"SymlinkParentDirectoryRelative",
       [](TarBuilder& t, const std::string&) { t.Symlink("d", "../outside").Dir("d/dir/", 0777); }},
      {"SymlinkSlashEnded",
       [](TarBuilder& t, const std::string& out) { t.Symlink("d/", out).File("d/secret", "overwritten"); }},
      {"SymlinkOverrideDirectory",
       [](TarBuilder& t, const std::string& out) { t.Dir("d/").Symlink("d", out).File("d/secret", "x"); }},
      {"SymlinkOverrideDirectoryRelative",
       [](TarBuilder& t, const std::string&) { t.Dir("d/").Symlink("d", "../outside").File("d/secret", "x"); }},
      {"DirectoryOverrideSymlink",
       [](TarBuilder& t, const std::string& out) { t.Symlink("d", out).Dir("d/", 0700).File("d/secret", "x"); }},
      {"DirectoryOverrideRelativeSymlink",
       [](TarBuilder& t, const std::string&) { t.Symlink("d", "../outside").Dir("d/", 0700).File("d/secret", "x"); }},
      {"DirectoryOverrideSymlinkAndHardlink",
       [](TarBuilder& t, const std::string& out) {
         t.Symlink("d", out).Hardlink("h", "d").Dir("h/", 0700).File("h/secret", "x");
       }},
      {"WhiteoutSymlink", [](TarBuilder& t, const std::string& out) { t.Symlink("l", out + "/secret").File(".wh.l"); }},
      {"WhiteoutSymlinkPath", [](TarBuilder& t, const std::string& out) { t.Symlink("l", out).File("l/.wh.secret"); }},
      {"WhiteoutDeadSymlinkParent",
       [](TarBuilder& t, const std::string& out) { t.Symlink("l", out + "/none").File("l/.wh.secret"); }},
      {"SymlinkOverridePath",
       [](TarBuilder& t, const std::string& out) { t.File("a/b", "1").Symlink("a", out).File("a/b", "2"); }},
      {"RelativeSymlinks",
       [](TarBuilder& t, const std::string&) {
         t.Dir("a/").Symlink("a/b", "../../../../outside").File("a/b/secret", "x");
       }},
      {"OpaqueThroughSymlink",
       [](TarBuilder& t, const std::string& out) { t.Symlink("l", out).File("l/.wh..wh..opq"); }},
      {"LoopingSymlinks",
       [](TarBuilder& t, const std::string&) { t.Symlink("a", "b").Symlink("b", "a").File("a/x", "x"); }},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    Sandpit pit;
    TarBuilder tar;
    c.build(tar, pit.outside());
    const auto result = pit.Unpack(tar.Finish());
    INFO(result.status().ToString());
    CHECK(result.ok());  // resolved or replaced inside the layer, as in a container
  }
}

TEST_CASE("a link's target is looked up as in the container", "[unpack]") {
  Sandpit pit;
  pit.UnpackOk(TarBuilder()
                   .Dir("usr/lib/")
                   .Symlink("lib", "/usr/lib")
                   .File("lib/x.so", "so")
                   .Symlink("dead", "/nowhere/y")
                   .Finish());
  CHECK(ReadFile(pit.at("usr/lib/x.so")) == "so");
  CHECK(S_ISLNK(pit.Stat("lib").st_mode));
  CHECK(std::filesystem::read_symlink(pit.at("dead")) == "/nowhere/y");
}

TEST_CASE("hard links reach nothing outside the layer", "[unpack][breakout]") {
  struct Case {
    const char* name;
    std::function<void(TarBuilder&, const std::string&)> build;
  };
  const std::vector<Case> cases = {
      {"HardlinkRelative",
       [](TarBuilder& t, const std::string&) { t.Hardlink("h", "../outside/secret").File("h", "x"); }},
      {"HardlinkDownAndOut",
       [](TarBuilder& t, const std::string&) { t.Dir("d/").Hardlink("h", "d/../../outside/secret").File("h", "x"); }},
      {"HardlinkAbsolute",
       [](TarBuilder& t, const std::string& out) { t.Hardlink("h", out + "/secret").File("h", "x"); }},
      {"HardlinkRelativeLong",
       [](TarBuilder& t, const std::string& out) { t.Hardlink("h", Up(40, out.substr(1) + "/secret")); }},
      {"HardlinkRelativeUpAndOut",
       [](TarBuilder& t, const std::string& out) { t.Hardlink("h", Up(3, out.substr(1) + "/secret")); }},
      {"HardlinkDirectRelative", [](TarBuilder& t, const std::string&) { t.Hardlink("h", "../passwd"); }},
      {"HardlinkDirectRelativeLong", [](TarBuilder& t, const std::string&) { t.Hardlink("h", Up(60, "etc/passwd")); }},
      {"HardlinkDirectAbsolute", [](TarBuilder& t, const std::string&) { t.Hardlink("h", "/etc/passwd"); }},
      {"HardlinkThroughSymlinkParent",
       [](TarBuilder& t, const std::string& out) { t.Symlink("d", out).Hardlink("h", "d/secret"); }},
      {"HardlinkSymlinkBeforeCreateTarget",
       [](TarBuilder& t, const std::string&) { t.Symlink("d", "../outside").Hardlink("h", "d/secret"); }},
      {"HardlinkToDirectory", [](TarBuilder& t, const std::string&) { t.Dir("d/").Hardlink("h", "d"); }},
      {"HardlinkToWhiteout", [](TarBuilder& t, const std::string&) { t.File(".wh.gone").Hardlink("h", "gone"); }},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    Sandpit pit;
    TarBuilder tar;
    c.build(tar, pit.outside());
    const auto result = pit.Unpack(tar.Finish());
    CHECK_FALSE(result.ok());
  }
}

TEST_CASE("hard links to symbolic links stay links, and what is written through them replaces them",
          "[unpack][breakout]") {
  const std::string target = GENERATE(std::string("../outside/secret"), std::string("absolute"));
  Sandpit pit;
  const std::string to = target == "absolute" ? pit.outside() + "/secret" : target;
  SECTION("HardlinkSymlinkRelative and HardlinkSymlinkAbsolute") {
    pit.UnpackOk(TarBuilder().Symlink("l", to).Hardlink("h", "l").File("h", "replaced").Finish());
    CHECK(ReadFile(pit.at("h")) == "replaced");
    CHECK(S_ISREG(pit.Stat("h").st_mode));
  }
  SECTION("HardlinkSymlinkChmod") {
    pit.UnpackOk(TarBuilder().Symlink("l", to).Hardlink("h", "l").Finish());
    CHECK(S_ISLNK(pit.Stat("h").st_mode));
    CHECK(pit.Stat("h").st_nlink == 2);
  }
}

TEST_CASE("hard links inside the layer share an inode", "[unpack]") {
  Sandpit pit;
  pit.UnpackOk(TarBuilder().File("a/one", "1").Hardlink("b/two", "a/one").Hardlink("a/one", "b/two").Finish());
  CHECK(pit.Stat("a/one").st_ino == pit.Stat("b/two").st_ino);
  CHECK(pit.Stat("a/one").st_nlink == 2);
}

TEST_CASE("whiteouts become overlayfs' marks", "[unpack]") {
  Sandpit pit;
  pit.UnpackOk(TarBuilder()
                   .File("etc/.wh.gone")
                   .Dir("var/")
                   .File("var/.wh..wh..opq")
                   .File("var/mine", "mine")
                   .Dir("both/")
                   .File("both/f", "f")
                   .File(".wh.both")
                   .File(".wh.later")
                   .File("later/f", "f")
                   .File(".wh.dir")
                   .Dir("dir/")
                   .File(".wh..wh.plnk/x", "aufs")
                   .File(".wh..wh.aufs")
                   .Finish());
  CHECK(pit.IsWhiteout("etc/gone"));
  CHECK(pit.IsOpaque("var"));
  CHECK(ReadFile(pit.at("var/mine")) == "mine");
  // Removed below and brought anew by the same layer, in either order.
  CHECK(pit.IsOpaque("both"));
  CHECK(ReadFile(pit.at("both/f")) == "f");
  CHECK(pit.IsOpaque("later"));
  CHECK(ReadFile(pit.at("later/f")) == "f");
  CHECK(pit.IsOpaque("dir"));
  CHECK_FALSE(pit.Has(".wh..wh.plnk"));
  CHECK_FALSE(pit.Has(".wh..wh.aufs"));
}

TEST_CASE("whiteouts that name no child are refused", "[unpack][breakout]") {
  // WhiteoutRootParent, WhiteoutParent, WhiteoutRoot, WhiteoutCurrentDirectory, WhiteoutDirectoryName,
  // WhiteoutRelativePath.
  for (const std::string name : {".wh...", "dir/.wh...", ".wh.", "dir/.wh.", ".wh..", "dir/.wh..", "../.wh.secret",
                                 "dir/../../.wh.passwd", ".wh.x/y"}) {
    INFO(name);
    Sandpit pit;
    const auto result = pit.Unpack(TarBuilder().Dir("dir/").File("dir/keep", "k").File(name).Finish());
    CHECK_FALSE(result.ok());
  }
}

TEST_CASE("names that climb are refused, absolute ones are taken from the layer's root", "[unpack][breakout]") {
  for (const std::string name : {"../burstlet-escaped", "a/../../outside/secret", "/../outside/secret", ".."}) {
    INFO(name);
    Sandpit pit;
    CHECK_FALSE(pit.Unpack(TarBuilder().File(name, "x").Finish()).ok());
  }
  Sandpit pit;
  pit.UnpackOk(TarBuilder().File("/burstlet-escaped", "in").File("//etc//./burstlet-escaped", "in").Finish());
  CHECK(ReadFile(pit.at("etc/burstlet-escaped")) == "in");
}

TEST_CASE("devices are left out, FIFOs are made, smuggled whiteouts are no whiteouts", "[unpack]") {
  Sandpit pit;
  const auto result = pit.Unpack(TarBuilder()
                                     .Special("dev/sda", AE_IFBLK, 8, 0)
                                     .Special("dev/mem", AE_IFCHR, 1, 1)
                                     .Special("zero", AE_IFCHR, 0, 0)
                                     .Special("run/fifo", AE_IFIFO)
                                     .Finish());
  REQUIRE(result.ok());
  CHECK(result->devices_left_out == 3);
  CHECK_FALSE(pit.Has("dev/sda"));
  CHECK_FALSE(pit.Has("dev/mem"));
  CHECK_FALSE(pit.Has("zero"));
  CHECK(S_ISFIFO(pit.Stat("run/fifo").st_mode));
}

TEST_CASE("extended attributes: capabilities and user.* stay, trusted.* and overlay marks don't", "[unpack]") {
  const std::string capability("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  Sandpit pit;
  TarBuilder::Options options;
  options.mode = 04755;
  options.xattrs = {{"security.capability", capability},  {"user.note", "hello"},       {"trusted.overlay.opaque", "y"},
                    {"trusted.overlay.redirect", "/etc"}, {"user.overlay.opaque", "y"}, {"security.selinux", "x"}};
  pit.UnpackOk(TarBuilder().File("ping", "elf", options).Finish());
  char value[64];
  const std::string file = pit.at("ping");
  CHECK(lgetxattr(file.c_str(), "security.capability", value, sizeof(value)) == 20);
  CHECK(lgetxattr(file.c_str(), "user.note", value, sizeof(value)) == 5);
  for (const char* name :
       {"trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.opaque", "security.selinux"}) {
    INFO(name);
    CHECK(lgetxattr(file.c_str(), name, value, sizeof(value)) < 0);
  }
  CHECK(pit.Stat("ping").st_mode == (S_IFREG | 04755));
}

TEST_CASE("later entries replace earlier ones, whatever both are", "[unpack]") {
  Sandpit pit;
  pit.UnpackOk(TarBuilder()
                   .File("dup", "1")
                   .File("dup", "2")
                   .File("dir/deep/er/file", "x")
                   .File("dir", "a file now")
                   .File("file", "x")
                   .File("file/below", "file became a directory")
                   .Dir("keep/")
                   .File("keep/f", "kept")
                   .Dir("keep/", 0700)
                   .Finish());
  CHECK(ReadFile(pit.at("dup")) == "2");
  CHECK(ReadFile(pit.at("dir")) == "a file now");
  CHECK(ReadFile(pit.at("file/below")) == "file became a directory");
  CHECK(ReadFile(pit.at("keep/f")) == "kept");
  CHECK(pit.Stat("keep").st_mode == (S_IFDIR | 0700));
}

TEST_CASE("long and foreign names come through", "[unpack]") {
  const std::string component(200, 'n');
  const std::string longest = component + "/" + component + "/" + component;
  const std::string nfc = "caf\xc3\xa9", nfd = "cafe\xcc\x81", cyrillic = "\xd0\xbf\xd1\x80\xd0\xb8";
  Sandpit pit;
  pit.UnpackOk(TarBuilder().File(longest, "long").File(nfc, "c").File(nfd, "d").File(cyrillic, "k").Finish());
  CHECK(ReadFile(pit.at(longest)) == "long");
  CHECK(ReadFile(pit.at(nfc)) == "c");
  CHECK(ReadFile(pit.at(nfd)) == "d");
  CHECK(ReadFile(pit.at(cyrillic)) == "k");
}

TEST_CASE("thousands of levels cost neither stack nor descriptors", "[unpack]") {
  std::string path;
  for (int i = 0; i < 2000; ++i) path += "d/";
  Sandpit pit;
  pit.UnpackOk(TarBuilder()
                   .Dir(path)
                   .Symlink("again", "/" + path.substr(0, 3000))
                   .File("again/d/f", "f")
                   .File("d", "gone")
                   .Finish());
  CHECK(ReadFile(pit.at("d")) == "gone");
  std::string too_long;
  for (int i = 0; i < 4096; ++i) too_long += "d/";
  CHECK_FALSE(Sandpit().Unpack(TarBuilder().Dir(too_long).Finish()).ok());
}

TEST_CASE("impossible headers are refused", "[unpack][hostile]") {
  const auto refuse = [](const RawEntry& entry) {
    Sandpit pit;
    const auto result = pit.Unpack(RawTar(entry) + TarEnd());
    INFO(entry.name);
    CHECK_FALSE(result.ok());
  };
  RawEntry negative{"negative", '0', "", std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 12)};
  refuse(negative);
  RawEntry huge{"huge", '0', "", std::string("\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", 12)};
  refuse(huge);
  RawEntry owner{"owner", '0', "", "", std::string("\x80\x00\x00\x00\x80\x00\x00\x00", 8)};  // 2^31
  refuse(owner);
  RawEntry truncated{"truncated", '0', "", "00000100000"};
  refuse(truncated);
  RawEntry empty{"", '0'};
  refuse(empty);
  Sandpit pit;
  CHECK_FALSE(pit.Unpack(std::string(3000, 'x')).ok());
}

TEST_CASE("PAX overrides of path, linkpath and size are judged like the header's own", "[unpack][hostile]") {
  const auto pax = [](const std::string& key, const std::string& value) {
    std::string record = " " + key + "=" + value + "\n";
    std::size_t length = record.size() + 2;
    if (length + 1 >= 100) ++length;
    if (std::to_string(length).size() + record.size() != length) length = record.size() + std::to_string(length).size();
    return RawTar({"pax", 'x', "", "", "0000000", std::to_string(length) + record});
  };
  CHECK_FALSE(
      Sandpit().Unpack(pax("path", "../outside/secret") + RawTar({"ok", '0', "", "", "0000000", "x"}) + TarEnd()).ok());
  CHECK_FALSE(Sandpit().Unpack(pax("linkpath", "/../outside/secret") + RawTar({"h", '1', "ok"}) + TarEnd()).ok());
  CHECK_FALSE(
      Sandpit().Unpack(pax("size", "99999999999999") + RawTar({"f", '0', "", "", "0000000", "x"}) + TarEnd()).ok());
  CHECK_FALSE(Sandpit().Unpack(pax("uid", "4294967296") + RawTar({"f", '0', "", "", "0000000", "x"}) + TarEnd()).ok());
}

TEST_CASE("limits end a bomb", "[unpack][hostile]") {
  UnpackLimits limits;
  limits.max_bytes = 1'000'000;
  CHECK(Sandpit().Unpack(TarBuilder().File("big", std::string(2'000'000, 'x')).Finish(), limits).status().code() ==
        absl::StatusCode::kResourceExhausted);
  limits = {};
  limits.max_entries = 10;
  TarBuilder many;
  for (int i = 0; i < 20; ++i) many.File(std::to_string(i));
  CHECK(Sandpit().Unpack(many.Finish(), limits).status().code() == absl::StatusCode::kResourceExhausted);
}

TEST_CASE("extreme times and trailing rubbish do no harm", "[unpack]") {
  Sandpit pit;
  TarBuilder::Options past, future;
  past.mtime = -4'000'000'000'000;
  future.mtime = 4'000'000'000'000;
  pit.UnpackOk(TarBuilder().File("past", "p", past).File("future", "f", future).Finish() + std::string(100'000, 'r'));
  CHECK(ReadFile(pit.at("future")) == "f");
  CHECK_FALSE(pit.Has("rrrr"));
}

TEST_CASE("an empty stream is an empty layer", "[unpack]") {
  Sandpit pit;
  pit.UnpackOk("");
  pit.UnpackOk(TarEnd());
  CHECK(CountEntries(pit.layer()) == 0);
}

TEST_CASE("a cancelled unpacking stops", "[unpack]") {
  TempDir dir;
  const Fd fd(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  MemorySource source(TarBuilder().File("a", std::string(1 << 20, 'x')).Finish());
  std::atomic<bool> cancelled{true};
  CHECK(cache::Unpack(source, fd.get(), {}, &cancelled).status().code() == absl::StatusCode::kCancelled);
}

}  // namespace burstlet::cache
