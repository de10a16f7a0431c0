// Seccomp profiles of type Localhost on the real kernel.
#include "sandbox/native/seccomp.h"

#include "metrics/status.h"
#include "sandbox/os/apparmor.h"
#include "test/sandbox/sandbox_fixture.h"

namespace burstlet::sandbox::test {
namespace {

SeccompSpec Local(const SeccompProfile& profile) {
  SeccompSpec spec;
  spec.kind = SeccompSpec::Kind::kLocalhost;
  spec.profile = profile;
  return spec;
}

std::string WhyNot(const SeccompProfile& profile) {
  const auto filter = CompileSeccomp(Local(profile), 0);
  if (filter.ok()) return "";
  CHECK(ReasonOf(filter.status()) == "CreateContainerError");
  return std::string(filter.status().message());
}

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a local profile refuses, allows and compares as it says", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  SeccompProfile profile;
  profile.default_action = "SCMP_ACT_ALLOW";
  profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  profile.flags = {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
  profile.rules = {{{"mkdir", "mkdirat", "no_such_call"}, "SCMP_ACT_ERRNO", 28, {}},
                   {{"read"}, "SCMP_ACT_ALLOW", {}, {}},
                   // Two conditions on one argument are alternatives: signal 0 of kill(2) stays, 10 and 12 do not.
                   {{"kill"}, "SCMP_ACT_ERRNO", 13, {{1, 10, 0, "SCMP_CMP_EQ"}, {1, 12, 0, "SCMP_CMP_EQ"}}}};
  const std::string text = fixture.Output(
      "mkdir /tmp/x 2>&1; trap : USR1 USR2 HUP; kill -10 $$ 2>&1; kill -12 $$ 2>&1; kill -1 $$ && echo sent; grep "
      "Seccomp: /proc/self/status",
      [&](ContainerSpec& spec) { spec.seccomp = Local(profile); });
  INFO(text);
  CHECK(Contains(text, "No space left on device"));
  CHECK(Contains(text, "sent\nSeccomp:\t2"));
  std::size_t denied = 0;
  for (std::size_t at = 0; (at = text.find("Permission denied", at)) != std::string::npos; ++at) ++denied;
  CHECK(denied == 2);
}

TEST_CASE("calls that a profile is too old to know do not exist", "[root]") {
  SeccompProfile profile;
  profile.default_action = "SCMP_ACT_ERRNO";
  profile.rules = {{{"read", "write", "exit_group"}, "SCMP_ACT_ALLOW", {}, {}}};
  const auto filter = CompileSeccomp(Local(profile), 0);
  REQUIRE(filter.ok());
  // The first filter of a profile that says ENOSYS itself has no such head.
  profile.default_errno_ret = 38;
  const auto itself = CompileSeccomp(Local(profile), 0);
  REQUIRE(itself.ok());
  CHECK(filter->program.size() == itself->program.size() + 6 * 8);
}

TEST_CASE("what is wrong with a profile is said", "") {
  SeccompProfile profile;
  profile.default_action = "SCMP_ACT_PANIC";
  CHECK(Contains(WhyNot(profile), "unknown action \"SCMP_ACT_PANIC\""));
  profile.default_action = "SCMP_ACT_NOTIFY";
  CHECK(Contains(WhyNot(profile), "needs a listener"));
  profile.default_action = "SCMP_ACT_ALLOW";
  profile.architectures = {"SCMP_ARCH_Z80"};
  CHECK(Contains(WhyNot(profile), "unknown architecture \"SCMP_ARCH_Z80\""));
  profile.architectures.clear();
  profile.flags = {"SECCOMP_FILTER_FLAG_X"};
  CHECK(Contains(WhyNot(profile), "unknown flag"));
  profile.flags.clear();
  profile.rules = {{{"read"}, "SCMP_ACT_ERRNO", {}, {{0, 1, 0, "SCMP_CMP_MAYBE"}}}};
  CHECK(Contains(WhyNot(profile), "unknown comparison \"SCMP_CMP_MAYBE\""));
  profile.rules[0].args = {{6, 1, 0, "SCMP_CMP_EQ"}};
  CHECK(Contains(WhyNot(profile), "argument index 6"));
}

TEST_CASE("an AppArmor profile that is not loaded is refused by name", "[root]") {
  CHECK(ListsProfile("a (enforce)\nmy profile (complain)\n", "my profile"));
  CHECK_FALSE(ListsProfile("ab (enforce)\n", "a"));
  SKIP_UNLESS_ROOT;
  Fixture fixture;
  Sandbox& sandbox = fixture.Create(fixture.PodSpec("pod-a"));
  ContainerSpec spec = fixture.ShellSpec("c1", "true");
  spec.app_armor_profile = "burstlet-no-such-profile";
  const auto started = sandbox.Start(spec);
  CHECK(ReasonOf(started.status()) == "CreateContainerError");
  CHECK(Contains(std::string(started.status().message()), "apparmor profile not found burstlet-no-such-profile"));
  CHECK(sandbox.Remove().ok());
}

}  // namespace burstlet::sandbox::test
