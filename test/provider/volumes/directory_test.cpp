#include "provider/volumes/directory.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <catch2/catch.hpp>

#include "provider/volumes/ownership.h"
#include "test/provider/volumes/volume_dir.h"

namespace burstlet::provider {
namespace {

using test::VolumeDir;

namespace fs = std::filesystem;

}  // namespace

TEST_CASE("deleting a tree deletes links, not what they point to", "[volumes]") {
  VolumeDir outside;
  test::WriteText(outside / "keep", "k");
  fs::create_directory(outside / "dir");
  test::WriteText(outside / "dir/keep", "k");
  VolumeDir dir;
  fs::create_directories(dir / "victim/a/b");
  fs::create_symlink(outside / "dir", dir / "victim/link-to-dir");
  fs::create_symlink(outside / "keep", dir / "victim/a/link-to-file");
  fs::create_symlink("..", dir / "victim/a/b/up");
  fs::create_symlink(outside.path(), dir / "top-link");
  CHECK(DeleteTree(dir.fd(), "victim").ok());
  CHECK(DeleteTree(dir.fd(), "top-link").ok());
  CHECK(DeleteTree(dir.fd(), "never-there").ok());
  CHECK(fs::is_empty(dir.path()));
  CHECK(test::ReadText(outside / "keep") == "k");
  CHECK(test::ReadText(outside / "dir/keep") == "k");
}

TEST_CASE("names that lead elsewhere are refused", "[volumes]") {
  VolumeDir dir;
  for (const char* name : {"", ".", "..", "a/b", "/etc"}) {
    CHECK_FALSE(DeleteTree(dir.fd(), name).ok());
  }
  CHECK_FALSE(MakeInside(dir.fd(), "a/../b", 0755).ok());
  fs::create_symlink("/tmp", dir / "link");
  CHECK_FALSE(MakeInside(dir.fd(), "link/x", 0755).ok());
  CHECK_FALSE(OpenInside(dir.fd(), "link", O_DIRECTORY).ok());
  CHECK_FALSE(OpenOwnDirectory(dir / "link").ok());
}

TEST_CASE("a tree deeper than paths and descriptors allow is deleted", "[volumes]") {
  VolumeDir dir;
  fs::create_directory(dir / "deep");
  sandbox::UniqueFd at(::open((dir / "deep").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A name that the deletion would like to use itself.
  REQUIRE(::mkdirat(at.get(), ".moved-1", 0755) == 0);
  for (int i = 0; i < 2000; ++i) {
    REQUIRE(::mkdirat(at.get(), "d", 0755) == 0);
    at.Reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(at.valid());
  }
  at.Reset();
  CHECK(DeleteTree(dir.fd(), "deep").ok());
  CHECK_FALSE(fs::exists(dir / "deep"));
}

TEST_CASE("a mount inside a tree and what it holds survive its deletion", "[volumes][root]") {
  NEEDS_ROOT();
  VolumeDir outside;
  test::WriteText(outside / "keep", "k");
  VolumeDir dir;
  fs::create_directories(dir / "victim/mounted");
  test::WriteText(dir / "victim/file", "x");
  REQUIRE(::mount(outside.path().c_str(), (dir / "victim/mounted").c_str(), nullptr, MS_BIND, nullptr) == 0);
  CHECK_FALSE(DeleteTree(dir.fd(), "victim").ok());
  CHECK(test::ReadText(outside / "keep") == "k");
  CHECK_FALSE(fs::exists(dir / "victim/file"));
  REQUIRE(::umount2((dir / "victim/mounted").c_str(), UMOUNT_NOFOLLOW) == 0);
  CHECK(DeleteTree(dir.fd(), "victim").ok());
}

TEST_CASE("fsGroup is given to all below, links excepted", "[volumes][root]") {
  NEEDS_ROOT();
  VolumeDir outside;
  test::WriteText(outside / "file", "x");
  VolumeDir dir;
  fs::create_directory(dir / "sub");
  test::WriteText(dir / "sub/file", "x");
  fs::permissions(dir / "sub/file", fs::perms::owner_read);
  fs::create_symlink(outside / "file", dir / "link");
  GroupOwnership ownership;
  ownership.gid = 777;
  CHECK(SetGroupOwnership(dir.fd(), ownership).ok());
  CHECK(test::ModeOf(dir / "sub/file") == 0660);
  CHECK(test::ModeOf(dir / "sub") == 02775);
  CHECK(test::GroupOf(dir / "sub/file") == 777);
  CHECK(test::GroupOf(dir / "link") == 777);
  CHECK(test::GroupOf(outside / "file") != 777);

  // OnRootMismatch: the root is right, so nothing below is looked at.
  REQUIRE(::chown((dir / "sub/file").c_str(), 0, 0) == 0);
  ownership.only_on_root_mismatch = true;
  CHECK(SetGroupOwnership(dir.fd(), ownership).ok());
  CHECK(test::GroupOf(dir / "sub/file") == 0);
  ownership.gid = 778;
  CHECK(SetGroupOwnership(dir.fd(), ownership).ok());
  CHECK(test::GroupOf(dir / "sub/file") == 778);
}

}  // namespace burstlet::provider
