#include "provider/cni/cni_result.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/net/address.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kMostAddresses = 64;

/// "10.1.2.3/24" -> "10.1.2.3", in the usual spelling.
absl::StatusOr<std::string> AddressOf(const std::string& field, const std::string& text) {
  const absl::StatusOr<sandbox::IpAddress> address = sandbox::ParseAddress(text.substr(0, text.find('/')));
  if (address.ok()) return address->ToString();
  return absl::InvalidArgumentError(absl::StrCat("the result's ", field, " is \"", text, "\", not an address"));
}

/// False only for one that is known to belong to another interface.
bool BelongsTo(const cache::Json& ip, const std::vector<cache::Json>& interfaces, const std::string& interface) {
  const cache::Json& index = ip["interface"];
  if (index.type != cache::Json::Type::kNumber || index.number < 0) return true;
  if (static_cast<std::size_t>(index.number) >= interfaces.size()) return true;
  const cache::Json& owner = interfaces[static_cast<std::size_t>(index.number)];
  return owner["name"].Text() == interface && !owner["sandbox"].Text().empty();
}

}  // namespace

absl::StatusOr<sandbox::PodAddresses> PodAddressesOf(const cache::Json& result, const std::string& interface) {
  sandbox::PodAddresses pod;
  const std::vector<cache::Json>& ips = result["ips"].array;
  const std::vector<cache::Json>& interfaces = result["interfaces"].array;
  if (ips.size() > kMostAddresses || interfaces.size() > kMostAddresses) {
    return absl::InvalidArgumentError("the result has more addresses than a pod can have");
  }
  for (std::size_t i = 0; i < ips.size(); ++i) {
    if (!BelongsTo(ips[i], interfaces, interface)) continue;
    ASSIGN_OR_RETURN(std::string address, AddressOf(absl::StrCat("ips[", i, "].address"), ips[i]["address"].Text()));
    pod.addresses.push_back(std::move(address));
  }
  // Before version 0.3.0 there was one of each family.
  for (const char* family : {"ip4", "ip6"}) {
    if (!result[family].IsObject()) continue;
    ASSIGN_OR_RETURN(std::string address, AddressOf(absl::StrCat(family, ".ip"), result[family]["ip"].Text()));
    pod.addresses.push_back(std::move(address));
  }
  if (pod.addresses.empty()) return absl::InvalidArgumentError("the result has no address for the pod");
  // IPv4 first, else as the plugin has them.
  const auto v6 = [](const std::string& address) { return address.find(':') != std::string::npos; };
  std::vector<std::string> ordered;
  for (const bool second : {false, true}) {
    std::copy_if(pod.addresses.begin(), pod.addresses.end(), std::back_inserter(ordered),
                 [&](const std::string& address) { return v6(address) == second; });
  }
  pod.addresses = std::move(ordered);
  for (const cache::Json& entry : interfaces) {
    if (entry["sandbox"].Text().empty()) pod.host_interface = entry["name"].Text();
  }
  return pod;
}

}  // namespace burstlet::provider
