#include "sandbox/net/pod_network.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/net/address.h"
#include "sandbox/net/ipam.h"
#include "sandbox/net/links.h"
#include "sandbox/net/nat_table.h"
#include "sandbox/net/routed_pod_network.h"

namespace burstlet::sandbox {
namespace {

constexpr std::size_t kInstanceMax = 8;  // leaves an interface name four digits for its number

absl::Status CheckInstance(const std::string& instance) {
  const bool good = !instance.empty() && instance.size() <= kInstanceMax &&
                    std::all_of(instance.begin(), instance.end(),
                                [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("network instance \"", instance, "\": 1 to ", kInstanceMax, " characters a-z, 0-9 are needed"));
}

absl::StatusOr<std::vector<AddressPool>> MakePools(const PodNetworkConfig& config) {
  std::random_device random;
  std::vector<AddressPool> pools;
  for (const std::string& text : config.pod_cidrs) {
    ASSIGN_OR_RETURN(const Cidr range, ParseCidr(text));
    for (const AddressPool& other : pools) {
      if (other.range().base.v6 != range.base.v6) continue;
      return absl::InvalidArgumentError(absl::StrCat("pod ranges ", other.range().ToString(), " and ", range.ToString(),
                                                     " are of one family, one of each is possible"));
    }
    ASSIGN_OR_RETURN(AddressPool pool, AddressPool::Make(range, config.address_rest, random(),
                                                         [] { return std::chrono::steady_clock::now(); }));
    pools.push_back(std::move(pool));
  }
  if (pools.empty()) return absl::InvalidArgumentError("no pod address range is given");
  return pools;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PodNetwork>> PodNetwork::Open(const PodNetworkConfig& config) {
  RETURN_IF_ERROR(CheckInstance(config.instance));
  ASSIGN_OR_RETURN(std::vector<AddressPool> pools, MakePools(config));
  NatTableSpec spec{.table = absl::StrCat("burstlet-", config.instance),
                    .interface_prefix = RoutedPodNetwork::InterfacePrefix(config.instance),
                    .ranges = {},
                    .gateways = {},
                    .masquerade = config.masquerade};
  for (const AddressPool& pool : pools) {
    spec.ranges.push_back(pool.range());
    spec.gateways.push_back(pool.gateway());
  }
  ASSIGN_OR_RETURN(Links links, Links::Open());
  ASSIGN_OR_RETURN(NatTable nat, NatTable::Open(std::move(spec)));
  auto network = std::make_unique<RoutedPodNetwork>(config, std::move(pools), std::move(links), std::move(nat));
  RETURN_IF_ERROR(Annotate(network->Prepare(), "preparing the pod network"));
  return std::unique_ptr<PodNetwork>(std::move(network));
}

}  // namespace burstlet::sandbox
