// Seccomp profile files: both formats, what capabilities decide, and what is wrong with a broken one.
#include "provider/translate/seccomp_profile.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::provider::test {
namespace {

std::string WhyNot(const std::string& text) {
  const auto profile = ParseSeccompProfile("/seccomp/p.json", text, {});
  if (profile.ok()) return "";
  CHECK(ReasonOf(profile.status()) == "CreateContainerError");
  return std::string(profile.status().message());
}

}  // namespace

TEST_CASE("a docker profile becomes an OCI one for the container's capabilities", "[seccomp]") {
  const std::string text = R"({
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
    "syscalls": [
      {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
      {"name": "old", "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
      {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390"]},
       "args": [{"index": 0, "value": 18446744073709551615, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"}]},
      {"names": ["arm_fadvise64_64"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm", "arm64"]}},
      {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]})";
  const auto plain = ParseSeccompProfile("p", text, {"CHOWN"});
  REQUIRE(plain.ok());
  CHECK(plain->default_errno_ret == 1u);
  CHECK(plain->architectures == std::vector<std::string>{"SCMP_ARCH_X86", "SCMP_ARCH_X86_64"});
  REQUIRE(plain->rules.size() == 4);
  CHECK(plain->rules[1].names == std::vector<std::string>{"old"});
  CHECK(plain->rules[2].args[0].value == ~std::uint64_t{0});
  CHECK(plain->rules[2].args[0].value_two == 7);
  CHECK(plain->rules[3].errno_ret == 38u);
  const auto admin = ParseSeccompProfile("p", text, {"SYS_ADMIN"});
  REQUIRE(admin.ok());
  REQUIRE(admin->rules.size() == 3);
  CHECK(admin->rules[2].names == std::vector<std::string>{"mount"});
}

TEST_CASE("a broken profile is refused with its file and field", "[seccomp]") {
  CHECK(WhyNot("{").find("decoding seccomp profile failed \"/seccomp/p.json\": ") == 0);
  CHECK(WhyNot("{}").find("defaultAction is missing") != std::string::npos);
  CHECK(WhyNot(R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": 3}]})").find("syscalls") !=
        std::string::npos);
  CHECK(WhyNot(R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW",
                   "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]})")
            .find("syscalls[0].args[0].index: 6 is not 0 to 5") != std::string::npos);
  CHECK(WhyNot(R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000})").find("5000 is no errno") !=
        std::string::npos);
  CHECK(WhyNot(R"({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"})").find("listenerPath") !=
        std::string::npos);
  std::string many = R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG", "names": [)";
  for (int i = 0; i < 20001; ++i) many += i == 0 ? "\"x\"" : ",\"x\"";
  CHECK(WhyNot(many + "]}]}").find("too many system calls") != std::string::npos);
}

TEST_CASE("a profile is read below its folder and nowhere else", "[seccomp]") {
  const std::string root = absl::StrCat("/tmp/burstlet-seccomp-", ::getpid());
  std::filesystem::create_directories(root + "/profiles/a");
  std::ofstream(root + "/profiles/a/b.json") << "{}";
  std::ofstream(root + "/secret") << "of the host";
  REQUIRE(::symlink("../secret", (root + "/profiles/link").c_str()) == 0);
  REQUIRE(::mkfifo((root + "/profiles/pipe").c_str(), 0600) == 0);
  CHECK(*ReadSeccompProfile(root + "/profiles", "a/b.json") == "{}");
  for (const char* name : {"none.json", "link", "../secret", "pipe", "a"}) {
    const auto text = ReadSeccompProfile(root + "/profiles", name);
    INFO(name << " " << text.status().ToString());
    CHECK(ReasonOf(text.status()) == "CreateContainerError");
    CHECK(std::string(text.status().message())
              .find(absl::StrCat("cannot load seccomp profile \"", root, "/profiles/", name)) == 0);
  }
  CHECK(ReasonOf(ReadSeccompProfile(root + "/missing", "a").status()) == "CreateContainerError");
  std::filesystem::remove_all(root);
}

}  // namespace burstlet::provider::test
