#include "sandbox/net/interface_counters.h"

#include <array>
#include <charconv>

namespace burstlet::sandbox {
namespace {

constexpr std::string_view kLeftOut[] = {"lo", "veth", "docker", "nerdctl"};

bool LeftOut(std::string_view name) {
  for (const std::string_view prefix : kLeftOut) {
    if (name.substr(0, prefix.size()) == prefix) return true;
  }
  // The host's ends of this program's own pairs: RoutedPodNetwork::InterfacePrefix.
  return name.substr(0, 2) == "bl" && name.find('-') != std::string_view::npos;
}

}  // namespace

std::vector<InterfaceStats> ParseNetDev(std::string_view text) {
  std::vector<InterfaceStats> all;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;  // the two lines of headings
    std::string_view name = line.substr(0, colon);
    while (!name.empty() && name.front() == ' ') name.remove_prefix(1);
    if (LeftOut(name)) continue;
    line.remove_prefix(colon + 1);
    // Receive: bytes packets errs drop fifo frame compressed multicast; transmit: bytes packets errs drop ...
    std::array<std::uint64_t, 12> fields{};
    for (std::uint64_t& field : fields) {
      while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
      const auto parsed = std::from_chars(line.data(), line.data() + line.size(), field);
      line.remove_prefix(static_cast<std::size_t>(parsed.ptr - line.data()));
    }
    all.push_back(
        {std::string(name), fields[0], fields[1], fields[2], fields[3], fields[8], fields[9], fields[10], fields[11]});
  }
  return all;
}

}  // namespace burstlet::sandbox
