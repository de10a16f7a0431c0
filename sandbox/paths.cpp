#include "sandbox/paths.h"

#include <algorithm>

namespace burstlet::sandbox {

bool Paths::ValidId(const std::string& id) {
  if (id.empty() || id.size() > 90 || id[0] == '.' || id[0] == '-') return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

}  // namespace burstlet::sandbox
