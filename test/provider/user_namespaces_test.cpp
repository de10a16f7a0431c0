// Ranges of ids for pods' user namespaces: where they come from, that no two pods meet, that they outlive the agent.
#include "provider/user_namespaces.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"

namespace burstlet::provider::test {
namespace {

struct Folder {
  Folder() {
    static int counter = 0;
    root = absl::StrCat("/tmp/burstlet-userns-", ::getpid(), "-", ++counter);
    std::filesystem::create_directories(root + "/pods");
  }
  ~Folder() { std::filesystem::remove_all(root); }
  void Pod(const std::string& uid) const { std::filesystem::create_directories(root + "/pods/" + uid); }
  AgentPaths paths() const { return {root, root + "/logs"}; }
  std::string root;
};

std::string WhyNot(const std::string& subuid, const std::string& subgid, std::uint32_t per_pod = 65536,
                   std::int64_t max_pods = 100) {
  const auto range = UserNamespaces::FindRange(subuid, subgid, per_pod, max_pods);
  return range.ok() ? "" : std::string(range.status().message());
}

}  // namespace

TEST_CASE("the node's ids are those of user kubelet, or all but the first", "[userns]") {
  auto range = UserNamespaces::FindRange("", "someone:100000:65536\n", 65536, 500);
  REQUIRE(range.ok());
  CHECK(range->first == 65536);
  CHECK(std::uint64_t{range->first} + range->count == std::uint64_t{1} << 31);
  const std::string line = "someone:100000:65536\nkubelet:131072:13107200\n";
  range = UserNamespaces::FindRange(line, line, 65536, 200);
  REQUIRE(range.ok());
  CHECK(range->first == 131072);
  CHECK(range->count == 13107200);
  CHECK(WhyNot(line, line, 65536, 201).find("not enough to support 201 pods") != std::string::npos);
  CHECK(WhyNot(line, "kubelet:131072:65536\n").find("mismatched subuids and subgids") == 0);
  CHECK(WhyNot("kubelet:100000:655360000\n", "kubelet:100000:655360000\n").find("multiple of 65536") !=
        std::string::npos);
  CHECK(WhyNot("kubelet:0:655360000\n", "kubelet:0:655360000\n").find("and not 0") != std::string::npos);
  CHECK(WhyNot("kubelet:x:1\n", "").find("expected numbers") != std::string::npos);
  CHECK(WhyNot("", "", 70000).find("userNamespaces.idsPerPod") == 0);
}

TEST_CASE("no two pods have the same ids, also over a restart, and freed ones come back", "[userns]") {
  Folder folder;
  const UserNamespaces::Range range{65536, 4 * 65536, 65536};
  std::set<std::uint32_t> seen;
  {
    UserNamespaces ids(range, folder.paths(), 3);
    for (const char* uid : {"a", "b", "c"}) {
      folder.Pod(uid);
      const auto map = ids.GetOrCreate(uid);
      REQUIRE(map.ok());
      CHECK(map->container_id == 0);
      CHECK(map->count == 65536);
      CHECK(seen.insert(map->host_id).second);
      CHECK(ids.GetOrCreate(uid)->host_id == map->host_id);
    }
    std::filesystem::remove_all(folder.root + "/pods/b");
    ids.Release("b");
  }
  UserNamespaces again(range, folder.paths(), 0);
  CHECK(seen.contains(again.GetOrCreate("a")->host_id));
  for (const char* uid : {"d", "e"}) {
    folder.Pod(uid);
    REQUIRE(again.GetOrCreate(uid).ok());
  }
  CHECK(again.GetOrCreate("d")->host_id != again.GetOrCreate("c")->host_id);
  folder.Pod("f");
  const auto none = again.GetOrCreate("f");
  CHECK(absl::IsResourceExhausted(none.status()));
  CHECK(none.status().message() == "could not find an empty slot to allocate a user namespace");
  again.Release("d");
  CHECK(again.GetOrCreate("f").ok());
  // Without a directory nothing is given away.
  again.Release("e");
  CHECK_FALSE(again.GetOrCreate("gone").ok());
  folder.Pod("g");
  CHECK(again.GetOrCreate("g").ok());
}

}  // namespace burstlet::provider::test
