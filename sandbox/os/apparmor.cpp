#include "sandbox/os/apparmor.h"

#include "absl/strings/str_split.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::sandbox {

bool AppArmorEnabled() {
  const auto text = ReadFile("/sys/module/apparmor/parameters/enabled", 16);
  return text.ok() && !text->empty() && (*text)[0] == 'Y';
}

bool ListsProfile(const std::string& profiles, const std::string& name) {
  for (const auto piece : absl::StrSplit(profiles, '\n')) {
    const std::string line(piece);
    const std::size_t mode = line.rfind(" (");
    if (mode != std::string::npos && line.compare(0, mode, name) == 0 && mode == name.size()) return true;
  }
  return false;
}

bool AppArmorProfileLoaded(const std::string& name) {
  if (!AppArmorEnabled()) return false;
  if (name == "unconfined") return true;
  const auto text = ReadFile("/sys/kernel/security/apparmor/profiles", 16u << 20);
  return text.ok() && ListsProfile(*text, name);
}

}  // namespace burstlet::sandbox
