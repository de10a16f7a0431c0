#include "provider/stats/disk_usage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sandbox/os/unique_fd.h"

namespace burstlet::provider {
namespace {

class Tree {
 public:
  Tree() {
    char name[] = "/tmp/disk-usage.XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    root = name;
  }
  ~Tree() { std::filesystem::remove_all(root); }
  void File(const std::string& name, std::size_t bytes) const {
    std::ofstream(root + "/" + name) << std::string(bytes, 'x');
  }
  std::string root;
};

}  // namespace

TEST_CASE("a tree is counted as du counts it: every inode once") {
  const Tree tree;
  const auto empty = MeasureTree(tree.root);
  REQUIRE(empty.ok());
  CHECK(empty->inodes == 1);
  REQUIRE(mkdir((tree.root + "/sub").c_str(), 0755) == 0);
  tree.File("a", 100'000);
  tree.File("sub/b", 10);
  REQUIRE(link((tree.root + "/a").c_str(), (tree.root + "/sub/again").c_str()) == 0);
  REQUIRE(symlink("/", (tree.root + "/everything").c_str()) == 0);
  const auto full = MeasureTree(tree.root);
  REQUIRE(full.ok());
  CHECK(full->inodes == 5);  // the root, sub, a, b, the link itself
  CHECK(full->bytes >= empty->bytes + 100'000);
  CHECK(full->bytes < empty->bytes + 300'000);
  CHECK(full->measured_at > 0);
}

TEST_CASE("a file is a tree of one, and what is not there is told") {
  const Tree tree;
  tree.File("hosts", 20);
  CHECK(MeasureTree(tree.root + "/hosts")->inodes == 1);
  CHECK(absl::IsNotFound(MeasureTree(tree.root + "/none").status()));
}

TEST_CASE("no depth hides what is below it, and one descriptor is enough") {
  const Tree tree;
  sandbox::UniqueFd at(open(tree.root.c_str(), O_RDONLY | O_DIRECTORY));
  constexpr int kDepth = 3000;  // beyond PATH_MAX and the usual number of descriptors
  for (int i = 0; i < kDepth; ++i) {
    REQUIRE(mkdirat(at.get(), "d", 0755) == 0);
    at = sandbox::UniqueFd(openat(at.get(), "d", O_RDONLY | O_DIRECTORY));
    REQUIRE(at.valid());
  }
  const auto usage = MeasureTree(tree.root);
  REQUIRE(usage.ok());
  CHECK(usage->inodes == kDepth + 1);
  // std::filesystem would run out of path and stack: from the bottom up.
  for (int i = 0; i < kDepth; ++i) {
    at = sandbox::UniqueFd(openat(at.get(), "..", O_RDONLY | O_DIRECTORY));
    REQUIRE(unlinkat(at.get(), "d", AT_REMOVEDIR) == 0);
  }
}

}  // namespace burstlet::provider
