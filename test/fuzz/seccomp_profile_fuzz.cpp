// Arbitrary bytes as a seccomp profile: refused with the file's name and the kubelet's reason, or a profile with bounds
// that means the same when it is written again, and compiles or says why not.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "metrics/status.h"
#include "provider/translate/seccomp_profile.h"
#include "sandbox/native/seccomp.h"

namespace {

using burstlet::sandbox::SeccompProfile;

constexpr std::size_t kFewCalls = 200;  // more are compiled so slowly that nothing else would be tried

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      constexpr char kHex[] = "0123456789abcdef";
      out += absl::StrCat("\\u00", std::string(1, kHex[c >> 4]), std::string(1, kHex[c & 15]));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string List(const std::vector<std::string>& texts) {
  return "[" + absl::StrJoin(texts, ",", [](std::string* out, const std::string& text) { *out += Quoted(text); }) + "]";
}

std::string Written(const SeccompProfile& profile) {
  std::vector<std::string> rules;
  for (const SeccompProfile::Rule& rule : profile.rules) {
    std::vector<std::string> arguments;
    for (const SeccompProfile::Argument& argument : rule.args) {
      arguments.push_back(absl::StrCat("{\"index\":", argument.index, ",\"value\":", argument.value,
                                       ",\"valueTwo\":", argument.value_two, ",\"op\":", Quoted(argument.op), "}"));
    }
    rules.push_back(absl::StrCat("{\"names\":", List(rule.names), ",\"action\":", Quoted(rule.action), ",",
                                 rule.errno_ret ? absl::StrCat("\"errnoRet\":", *rule.errno_ret, ",") : "",
                                 "\"args\":[", absl::StrJoin(arguments, ","), "]}"));
  }
  return absl::StrCat(
      "{\"defaultAction\":", Quoted(profile.default_action), ",",
      profile.default_errno_ret ? absl::StrCat("\"defaultErrnoRet\":", *profile.default_errno_ret, ",") : "",
      "\"architectures\":", List(profile.architectures), ",\"flags\":", List(profile.flags), ",\"syscalls\":[",
      absl::StrJoin(rules, ","), "]}");
}

std::size_t Calls(const SeccompProfile& profile) {
  std::size_t calls = 0;
  for (const SeccompProfile::Rule& rule : profile.rules) calls += rule.names.size() * (1 + rule.args.size());
  return calls;
}

void Check(const std::string& text, const std::vector<std::string>& capabilities) {
  const auto profile = burstlet::provider::ParseSeccompProfile("the/file", text, capabilities);
  if (!profile.ok()) {
    const std::string message(profile.status().message());
    if (burstlet::ReasonOf(profile.status()) != "CreateContainerError") std::abort();
    if (message.find("the/file") == std::string::npos) std::abort();
    return;
  }
  if (profile->default_action.empty() || Calls(*profile) > 40000) std::abort();
  for (const SeccompProfile::Rule& rule : profile->rules) {
    for (const SeccompProfile::Argument& argument : rule.args) {
      if (argument.index > 5) std::abort();
    }
  }
  const std::string written = Written(*profile);
  const auto again = burstlet::provider::ParseSeccompProfile("the/file", written, {});
  if (!again.ok() || Written(*again) != written) std::abort();
  if (Calls(*profile) > kFewCalls) return;
  const auto filter = burstlet::sandbox::CompileProfile(*profile);
  if (filter.ok() ? filter->program.empty() : filter.status().message().empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  Check(text, {});
  Check(text, {"SYS_ADMIN", "SYS_CHROOT", "NET_BIND_SERVICE"});
  return 0;
}
