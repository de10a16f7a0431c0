#include "sandbox/net/routed_pod_network.h"

#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/net/bandwidth.h"
#include "sandbox/net/conntrack.h"
#include "sandbox/net/forwarding.h"
#include "sandbox/net/netns.h"

namespace burstlet::sandbox {
namespace {

constexpr const char* kPodInterface = "eth0";
constexpr std::size_t kInterfaceNameMax = 15;  // IFNAMSIZ - 1
constexpr std::uint32_t kDefaultMtu = 1500;
constexpr std::uint32_t kMaxMtu = 65535;  // veth's; a default route through lo would say 65536
constexpr unsigned kNameAttempts = 64;

// The same on every veth: a pod's permanent neighbour entry needs to know nothing else. Locally administered.
constexpr MacAddress kGatewayMac{0x02, 0x6c, 0x67, 0x77, 0x00, 0x01};

/// The next hop in a pod: 169.254.1.1 or fe80::1. No interface has it; the neighbour entry is all it takes.
IpAddress NextHop(bool v6) {
  if (!v6) return {.v6 = false, .bytes = {169, 254, 1, 1}};
  IpAddress address{.v6 = true, .bytes = {0xfe, 0x80}};
  address.bytes[15] = 1;
  return address;
}

/// Unique on the host: two fixed bytes and the last four of the pod's first address.
MacAddress PodMac(const IpAddress& address) {
  MacAddress mac{0x02, 0x62};
  std::copy_n(address.bytes.begin() + static_cast<std::ptrdiff_t>(address.size()) - 4, 4, mac.begin() + 2);
  return mac;
}

}  // namespace

std::string RoutedPodNetwork::InterfacePrefix(const std::string& instance) { return absl::StrCat("bl", instance, "-"); }

RoutedPodNetwork::RoutedPodNetwork(PodNetworkConfig config, std::vector<AddressPool> pools, Links links, NatTable nat)
    : config_(std::move(config)),
      prefix_(InterfacePrefix(config_.instance)),
      ipv6_available_(Ipv6Available()),
      pools_(std::move(pools)),
      links_(std::move(links)),
      nat_(std::move(nat)) {}

PodAddresses RoutedPodNetwork::Describe(const Pod& pod) {
  PodAddresses described{.addresses = {}, .host_interface = pod.host_interface};
  for (const IpAddress& address : pod.addresses) described.addresses.push_back(address.ToString());
  return described;
}

absl::Status RoutedPodNetwork::RefuseForeignAddresses() {
  ASSIGN_OR_RETURN(const std::vector<Link> links, links_.List("", ""));
  ASSIGN_OR_RETURN(const std::vector<InterfaceAddress> present, links_.ListAddresses());
  for (const InterfaceAddress& entry : present) {
    const auto link = std::find_if(links.begin(), links.end(), [&](const Link& l) { return l.index == entry.index; });
    const std::string name = link == links.end() ? "?" : link->name;
    if (name == GatewayInterface()) continue;
    for (const AddressPool& pool : pools_) {
      if (!pool.range().Contains(entry.address)) continue;
      return absl::FailedPreconditionError(absl::StrCat("the interface ", name, " has the address ",
                                                        entry.address.ToString(), " out of the pod range ",
                                                        pool.range().ToString()));
    }
  }
  return absl::OkStatus();
}

absl::Status RoutedPodNetwork::Prepare() {
  bool v4 = false, v6 = false;
  for (const AddressPool& pool : pools_) (pool.range().base.v6 ? v6 : v4) = true;
  if (v6 && !ipv6_available_) return absl::FailedPreconditionError("an IPv6 pod range, but the kernel has no IPv6");
  RETURN_IF_ERROR(RefuseForeignAddresses());
  mtu_ = std::min(config_.mtu != 0 ? config_.mtu : links_.DefaultRouteMtu().value_or(kDefaultMtu), kMaxMtu);

  ASSIGN_OR_RETURN(const std::uint32_t holder, links_.EnsureAddressHolder(GatewayInterface()));
  for (const AddressPool& pool : pools_) {
    const std::string what = absl::StrCat("pod range ", pool.range().ToString(), ": ");
    RETURN_IF_ERROR(Annotate(links_.AddAddress(holder, pool.gateway()), what));
    RETURN_IF_ERROR(Annotate(links_.AddUnreachable(pool.range()), what));
  }
  ASSIGN_OR_RETURN(const std::vector<Link> left, links_.List("veth", prefix_));
  for (const Link& link : left) next_number_ = std::max(next_number_, NumberOf(link.name).value_or(0) + 1);
  // The guard stands before anything is forwarded.
  RETURN_IF_ERROR(nat_.Install());
  return EnableForwarding(v4, v6);
}

std::optional<std::uint64_t> RoutedPodNetwork::NumberOf(const std::string& interface) const {
  if (!interface.starts_with(prefix_)) return std::nullopt;
  std::uint64_t number = 0;
  const char* end = interface.data() + interface.size();
  const auto [rest, error] = std::from_chars(interface.data() + prefix_.size(), end, number, 16);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return number;
}

std::string RoutedPodNetwork::NextInterfaceName() {
  const std::lock_guard lock(books_mutex_);
  const std::uint64_t room = std::uint64_t{1} << (4 * (kInterfaceNameMax - prefix_.size()));
  return absl::StrCat(prefix_, absl::Hex(next_number_++ % room));
}

std::optional<AddressPool*> RoutedPodNetwork::PoolOf(const IpAddress& address) {
  for (AddressPool& pool : pools_) {
    if (pool.range().Contains(address)) return &pool;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<IpAddress>> RoutedPodNetwork::Allocate() {
  std::vector<IpAddress> addresses;
  for (AddressPool& pool : pools_) {
    const std::uint64_t early = pool.early_reuses();
    const absl::StatusOr<IpAddress> address = pool.Allocate();
    if (!address.ok()) {
      Free(addresses);
      return address.status();
    }
    if (early == 0 && pool.early_reuses() != 0) {
      Warn("Pod addresses are reused before their rest is over, the range is too small",
           {{"range", pool.range().ToString()}});
    }
    addresses.push_back(*address);
  }
  return addresses;
}

void RoutedPodNetwork::Free(const std::vector<IpAddress>& addresses) {
  for (const IpAddress& address : addresses) {
    if (const auto pool = PoolOf(address)) (*pool)->Free(address);
  }
}

std::vector<IpAddress> RoutedPodNetwork::SourcesFor(const std::vector<IpAddress>& addresses) const {
  std::vector<IpAddress> sources;
  for (const IpAddress& address : addresses) {
    const auto pool = std::find_if(pools_.begin(), pools_.end(),
                                   [&](const AddressPool& p) { return p.range().base.v6 == address.v6; });
    sources.push_back(pool->gateway());
  }
  return sources;
}

absl::StatusOr<std::uint32_t> RoutedPodNetwork::CreateVeth(int netns_fd, Pod& pod) {
  VethSpec spec{.host_name = "",
                .pod_name = kPodInterface,
                .netns_fd = netns_fd,
                .host_mac = kGatewayMac,
                .pod_mac = PodMac(pod.addresses.front()),
                .mtu = mtu_};
  for (unsigned attempt = 0; attempt < kNameAttempts; ++attempt) {
    spec.host_name = NextInterfaceName();
    const std::lock_guard lock(kernel_mutex_);
    // Asked beforehand, because "exists" can mean the pod's end just as well.
    ASSIGN_OR_RETURN(const std::optional<Link> present, links_.Find(spec.host_name));
    if (present) continue;
    ASSIGN_OR_RETURN(const std::uint32_t index, links_.CreateVeth(spec, ipv6_available_));
    pod.host_interface = spec.host_name;
    return index;
  }
  return absl::ResourceExhaustedError(absl::StrCat("no free interface name beginning with ", prefix_));
}

absl::Status RoutedPodNetwork::Wire(int netns_fd, Pod& pod) {
  ASSIGN_OR_RETURN(const std::uint32_t index, CreateVeth(netns_fd, pod));
  PodEnd end{.name = kPodInterface,
             .addresses = pod.addresses,
             .gateways = {},
             .gateway_mac = kGatewayMac,
             .ipv6_available = ipv6_available_};
  for (const IpAddress& address : pod.addresses) end.gateways.push_back(NextHop(address.v6));
  RETURN_IF_ERROR(RunInNetworkNamespace(netns_fd, [&end] {
    ASSIGN_OR_RETURN(Links inside, Links::Open());
    return inside.ConfigurePodEnd(end);
  }));
  const std::lock_guard lock(kernel_mutex_);
  return links_.RouteToPod(index, pod.addresses, SourcesFor(pod.addresses), PodMac(pod.addresses.front()));
}

absl::StatusOr<PodAddresses> RoutedPodNetwork::Attach(int netns_fd, const std::string& owner) {
  Pod pod;
  {
    const std::lock_guard lock(books_mutex_);
    if (pods_.contains(owner)) return absl::AlreadyExistsError(absl::StrCat(owner, " has a network already"));
    ASSIGN_OR_RETURN(pod.addresses, Allocate());
    pods_.emplace(owner, pod);
  }
  absl::Status status = Wire(netns_fd, pod);
  if (status.ok()) {
    const std::lock_guard lock(books_mutex_);
    const auto it = pods_.find(owner);
    if (it != pods_.end()) {
      it->second.host_interface = pod.host_interface;
      return Describe(pod);
    }
    status = absl::AbortedError("detached meanwhile");
  }
  {
    const std::lock_guard lock(kernel_mutex_);
    LogIfError(links_.UnrouteFromPod(pod.addresses), "taking back the routes of a failed pod network");
    if (!pod.host_interface.empty()) {
      LogIfError(links_.Delete({pod.host_interface}), "taking back the interface of a failed pod network");
    }
  }
  const std::lock_guard lock(books_mutex_);
  if (pods_.erase(owner) != 0) Free(pod.addresses);
  return Annotate(status, absl::StrCat("pod network of ", owner, ": "));
}

absl::Status RoutedPodNetwork::Rename(const std::string& owner, const std::string& new_owner) {
  const std::lock_guard lock(books_mutex_);
  const auto it = pods_.find(owner);
  if (it == pods_.end()) return absl::NotFoundError(absl::StrCat(owner, " has no network"));
  if (owner == new_owner) return absl::OkStatus();
  if (pods_.contains(new_owner)) return absl::AlreadyExistsError(absl::StrCat(new_owner, " has a network already"));
  auto node = pods_.extract(it);
  node.key() = new_owner;
  pods_.insert(std::move(node));
  ports_.Rename(owner, new_owner);
  return absl::OkStatus();
}

absl::Status RoutedPodNetwork::Reserve(const std::string& owner, const PodAddresses& addresses) {
  Pod pod{.addresses = {}, .host_interface = addresses.host_interface};
  for (const std::string& text : addresses.addresses) {
    ASSIGN_OR_RETURN(const IpAddress address, ParseAddress(text));
    pod.addresses.push_back(address);
  }
  const std::lock_guard lock(books_mutex_);
  if (const auto it = pods_.find(owner); it != pods_.end()) {
    if (it->second.addresses == pod.addresses) return absl::OkStatus();
    return absl::AlreadyExistsError(absl::StrCat(owner, " has other addresses already"));
  }
  std::vector<IpAddress> taken;
  for (const IpAddress& address : pod.addresses) {
    // An address outside the ranges is of an earlier configuration: the pod keeps it, the pools cannot collide.
    const auto pool = PoolOf(address);
    const absl::Status status = pool ? (*pool)->Reserve(address) : absl::OkStatus();
    if (absl::IsAlreadyExists(status)) {
      Free(taken);
      return Annotate(status, absl::StrCat("taking back the address of ", owner, ": "));
    }
    if (status.ok()) taken.push_back(address);
  }
  next_number_ = std::max(next_number_, NumberOf(pod.host_interface).value_or(0) + 1);
  pods_.emplace(owner, std::move(pod));
  return absl::OkStatus();
}

absl::Status RoutedPodNetwork::AddHostPorts(const std::string& owner, const std::vector<SandboxSpec::HostPort>& ports) {
  if (ports.empty()) return absl::OkStatus();
  std::vector<PublishedPort> added;
  std::string interface;
  bool v4 = false;
  {
    const std::lock_guard lock(books_mutex_);
    const auto it = pods_.find(owner);
    if (it == pods_.end()) return absl::NotFoundError(absl::StrCat(owner, " has no network"));
    ASSIGN_OR_RETURN(const std::vector<PublishedPort> resolved, ResolveHostPorts(ports, it->second.addresses));
    ASSIGN_OR_RETURN(added, ports_.Claim(owner, resolved));
    interface = it->second.host_interface;
    for (const PublishedPort& port : added) v4 = v4 || !port.pod_ip.v6;
  }
  absl::Status status = v4 ? AllowLoopback(interface) : absl::OkStatus();
  if (status.ok()) {
    const std::lock_guard lock(kernel_mutex_);
    status = nat_.Add(added);
    if (!status.ok()) {
      // Somebody flushed the ruleset (a firewall's restart does), or an element of an earlier run is in the way.
      const std::lock_guard books_lock(books_mutex_);
      status = nat_.Replace(ports_.All());
    }
  }
  if (status.ok()) {
    LogIfError(ForgetFlows(added), "ending UDP flows that a new host port takes over");
    return status;
  }
  const std::lock_guard lock(books_mutex_);
  ports_.Withdraw(owner, added);
  return Annotate(status, absl::StrCat("host ports of ", owner, ": "));
}

absl::Status RoutedPodNetwork::ForgetFlows(const std::vector<PublishedPort>& ports) {
  bool family[2] = {false, false};
  for (const PublishedPort& port : ports) family[port.pod_ip.v6] |= port.protocol == IPPROTO_UDP;
  if (!family[0] && !family[1]) return absl::OkStatus();
  std::set<IpAddress> local;
  {
    const std::lock_guard lock(kernel_mutex_);
    ASSIGN_OR_RETURN(const std::vector<InterfaceAddress> present, links_.ListAddresses());
    for (const InterfaceAddress& entry : present) local.insert(entry.address);
  }
  // Only flows to the node itself: those of pods to the same port of other hosts (DNS) go on.
  const auto concerns = [&](const IpAddress& destination, std::uint16_t number) {
    return std::any_of(ports.begin(), ports.end(), [&](const PublishedPort& port) {
      return port.protocol == IPPROTO_UDP && port.host_port == number && port.host_ip.v6 == destination.v6 &&
             (port.host_ip.IsAny() ? local.contains(destination) : port.host_ip == destination);
    });
  };
  for (const bool v6 : {false, true}) {
    if (family[v6]) RETURN_IF_ERROR(ForgetUdpFlows(v6, concerns));
  }
  return absl::OkStatus();
}

absl::Status RoutedPodNetwork::LimitBandwidth(const std::string& owner, int netns_fd, const Bandwidth& bandwidth) {
  std::string interface;
  {
    const std::lock_guard lock(books_mutex_);
    const auto it = pods_.find(owner);
    if (it == pods_.end()) return absl::NotFoundError(absl::StrCat(owner, " has no network"));
    interface = it->second.host_interface;
  }
  // Each end limits what it sends: the host's end is the pod's ingress.
  if (bandwidth.ingress != 0) RETURN_IF_ERROR(LimitSending(interface, bandwidth.ingress));
  if (bandwidth.egress == 0) return absl::OkStatus();
  return RunInNetworkNamespace(netns_fd, [&bandwidth] { return LimitSending(kPodInterface, bandwidth.egress); });
}

absl::Status RoutedPodNetwork::Detach(const std::string& owner) {
  Pod pod;
  absl::Status status;
  {
    // Held from the books' release to the kernel's: a new claim of the same port adds its element afterwards.
    const std::lock_guard lock(kernel_mutex_);
    std::vector<PublishedPort> ports;
    {
      const std::lock_guard books_lock(books_mutex_);
      const auto it = pods_.find(owner);
      if (it == pods_.end()) return absl::OkStatus();
      pod = it->second;
      ports = ports_.Release(owner);
    }
    status = nat_.Remove(ports);
    if (!status.ok()) {
      const std::lock_guard books_lock(books_mutex_);
      status = nat_.Replace(ports_.All());
    }
    const absl::Status routes = links_.UnrouteFromPod(pod.addresses);
    if (status.ok()) status = routes;
  }
  // Only now may another pod get the addresses: its routes must not be the ones removed above.
  const std::lock_guard lock(books_mutex_);
  if (pods_.erase(owner) != 0) Free(pod.addresses);
  return Annotate(status, absl::StrCat("detaching ", owner, ": "));
}

absl::Status RoutedPodNetwork::RemoveInterfaces(bool keep_held) {
  ASSIGN_OR_RETURN(const std::vector<Link> links, links_.List("veth", prefix_));
  std::vector<std::string> names;
  {
    const std::lock_guard lock(books_mutex_);
    for (const Link& link : links) {
      const bool held = std::any_of(pods_.begin(), pods_.end(),
                                    [&](const auto& pod) { return pod.second.host_interface == link.name; });
      if (!keep_held || !held) names.push_back(link.name);
    }
  }
  return links_.Delete(names);
}

absl::Status RoutedPodNetwork::SweepInterfaces() {
  const std::lock_guard lock(kernel_mutex_);
  const absl::Status status = RemoveInterfaces(/*keep_held=*/true);
  // Ports that only an earlier run knew go with them.
  const std::lock_guard books_lock(books_mutex_);
  const absl::Status ports = nat_.Replace(ports_.All());
  return status.ok() ? ports : status;
}

absl::Status RoutedPodNetwork::Close() {
  const std::lock_guard lock(kernel_mutex_);
  absl::Status first = RemoveInterfaces(/*keep_held=*/false);
  const auto keep_first = [&first](const absl::Status& status) {
    if (first.ok()) first = status;
  };
  keep_first(links_.Delete({GatewayInterface()}));
  for (const AddressPool& pool : pools_) keep_first(links_.RemoveUnreachable(pool.range()));
  keep_first(nat_.Drop());
  const std::lock_guard books_lock(books_mutex_);
  for (const auto& [owner, pod] : pods_) {
    Free(pod.addresses);
    ports_.Release(owner);
  }
  pods_.clear();
  return first;
}

std::vector<std::string> RoutedPodNetwork::gateway_addresses() const {
  std::vector<std::string> addresses;
  for (const AddressPool& pool : pools_) addresses.push_back(pool.gateway().ToString());
  return addresses;
}

}  // namespace burstlet::sandbox
