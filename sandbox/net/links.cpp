#include "sandbox/net/links.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::sandbox {
namespace {

constexpr std::uint16_t kCreate = NLM_F_CREATE | NLM_F_EXCL;
constexpr std::uint16_t kReplace = NLM_F_CREATE | NLM_F_REPLACE;
constexpr std::uint32_t kLoopbackIndex = 1;  // in every network namespace
// Behind every real route, so that it speaks only when no pod has the address.
constexpr std::uint32_t kUnreachableMetric = 0x7fffffff;

void PutAddress(nlmsghdr* message, std::uint16_t type, const IpAddress& address) {
  mnl_attr_put(message, type, address.size(), address.bytes.data());
}

ifinfomsg* BeginLink(NetlinkBatch& batch, std::uint16_t type, std::uint16_t flags, nlmsghdr** message) {
  *message = batch.Begin(type, flags);
  return static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(*message, sizeof(ifinfomsg)));
}

void PutLinkUp(NetlinkBatch& batch, std::uint32_t index) {
  nlmsghdr* message = nullptr;
  ifinfomsg* info = BeginLink(batch, RTM_SETLINK, 0, &message);
  info->ifi_index = static_cast<int>(index);
  info->ifi_flags = info->ifi_change = IFF_UP;
}

/// No link-local address, and with it no duplicate detection, no multicast reports, no router solicitations.
void PutNoAutoAddress(NetlinkBatch& batch, std::uint32_t index, const std::string& name) {
  nlmsghdr* message = nullptr;
  ifinfomsg* info = BeginLink(batch, RTM_SETLINK, 0, &message);
  info->ifi_index = static_cast<int>(index);
  if (index == 0) mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
  nlattr* families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
  nlattr* inet6 = mnl_attr_nest_start(message, AF_INET6);
  mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  mnl_attr_nest_end(message, inet6);
  mnl_attr_nest_end(message, families);
}

void PutNewAddress(NetlinkBatch& batch, std::uint32_t index, const IpAddress& address, std::uint16_t flags) {
  nlmsghdr* message = batch.Begin(RTM_NEWADDR, flags);
  auto* info = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifaddrmsg)));
  info->ifa_family = address.family();
  info->ifa_prefixlen = static_cast<std::uint8_t>(address.size() * 8);
  // The address is ours by the books: duplicate address detection would only delay it by a second.
  info->ifa_flags = address.v6 ? IFA_F_NODAD : 0;
  info->ifa_scope = RT_SCOPE_UNIVERSE;
  info->ifa_index = index;
  PutAddress(message, IFA_LOCAL, address);
  PutAddress(message, IFA_ADDRESS, address);
}

void PutNeighbour(NetlinkBatch& batch, std::uint32_t index, const IpAddress& address, const MacAddress& mac) {
  nlmsghdr* message = batch.Begin(RTM_NEWNEIGH, kReplace);
  auto* info = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ndmsg)));
  info->ndm_family = address.family();
  info->ndm_ifindex = static_cast<int>(index);
  info->ndm_state = NUD_PERMANENT;
  PutAddress(message, NDA_DST, address);
  mnl_attr_put(message, NDA_LLADDR, mac.size(), mac.data());
}

rtmsg* BeginRoute(NetlinkBatch& batch, std::uint16_t type, std::uint16_t flags, bool v6, nlmsghdr** message) {
  *message = batch.Begin(type, flags);
  auto* route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(*message, sizeof(rtmsg)));
  route->rtm_family = v6 ? AF_INET6 : AF_INET;
  route->rtm_table = RT_TABLE_MAIN;
  route->rtm_protocol = RTPROT_STATIC;
  route->rtm_scope = RT_SCOPE_UNIVERSE;
  route->rtm_type = RTN_UNICAST;
  return route;
}

void PutDefaultRoute(NetlinkBatch& batch, std::uint32_t index, const IpAddress& gateway) {
  nlmsghdr* message = nullptr;
  rtmsg* route = BeginRoute(batch, RTM_NEWROUTE, kCreate, gateway.v6, &message);
  // The gateway is in no network of the pod: "onlink" takes our word that it is at the other end of the wire.
  route->rtm_flags = RTNH_F_ONLINK;
  PutAddress(message, RTA_GATEWAY, gateway);
  mnl_attr_put_u32(message, RTA_OIF, index);
}

void PutPodRoute(NetlinkBatch& batch, std::uint16_t type, std::uint16_t flags, const IpAddress& address,
                 std::uint32_t index, const IpAddress* source) {
  nlmsghdr* message = nullptr;
  rtmsg* route = BeginRoute(batch, type, flags, address.v6, &message);
  route->rtm_dst_len = static_cast<std::uint8_t>(address.size() * 8);
  // RT_SCOPE_NOWHERE matches any scope when deleting.
  route->rtm_scope = type == RTM_DELROUTE ? RT_SCOPE_NOWHERE : RT_SCOPE_LINK;
  PutAddress(message, RTA_DST, address);
  if (index != 0) mnl_attr_put_u32(message, RTA_OIF, index);
  if (source != nullptr) PutAddress(message, RTA_PREFSRC, *source);
}

void PutUnreachable(NetlinkBatch& batch, std::uint16_t type, std::uint16_t flags, const Cidr& range) {
  nlmsghdr* message = nullptr;
  rtmsg* route = BeginRoute(batch, type, flags, range.base.v6, &message);
  route->rtm_type = RTN_UNREACHABLE;
  route->rtm_dst_len = static_cast<std::uint8_t>(range.prefix_length);
  PutAddress(message, RTA_DST, range.base);
  mnl_attr_put_u32(message, RTA_PRIORITY, kUnreachableMetric);
}

/// The attributes that both ends have. One queue each: the kernel's default is one per CPU.
void PutVethEnd(nlmsghdr* message, const std::string& name, const MacAddress& mac, std::uint32_t mtu) {
  mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
  mnl_attr_put_u32(message, IFLA_MTU, mtu);
  mnl_attr_put(message, IFLA_ADDRESS, mac.size(), mac.data());
  mnl_attr_put_u32(message, IFLA_NUM_TX_QUEUES, 1);
  mnl_attr_put_u32(message, IFLA_NUM_RX_QUEUES, 1);
}

void PutNewVeth(NetlinkBatch& batch, const VethSpec& spec) {
  nlmsghdr* message = nullptr;
  ifinfomsg* info = BeginLink(batch, RTM_NEWLINK, kCreate, &message);
  info->ifi_flags = info->ifi_change = IFF_UP;
  PutVethEnd(message, spec.host_name, spec.host_mac, spec.mtu);
  nlattr* link_info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
  nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
  nlattr* peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
  mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
  PutVethEnd(message, spec.pod_name, spec.pod_mac, spec.mtu);
  mnl_attr_put_u32(message, IFLA_NET_NS_FD, static_cast<std::uint32_t>(spec.netns_fd));
  mnl_attr_nest_end(message, peer);
  mnl_attr_nest_end(message, data);
  mnl_attr_nest_end(message, link_info);
}

}  // namespace

absl::StatusOr<Links> Links::Open() {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(NETLINK_ROUTE));
  return Links(std::move(socket));
}

absl::StatusOr<std::uint32_t> Links::CreateVeth(const VethSpec& spec, bool ipv6_available) {
  NetlinkBatch batch;
  PutNewVeth(batch, spec);
  // Before the peer comes up, because the carrier is what starts IPv6's own address.
  if (ipv6_available) PutNoAutoAddress(batch, 0, spec.host_name);
  RETURN_IF_ERROR(socket_.Execute(batch));
  ASSIGN_OR_RETURN(const std::optional<Link> link, Find(spec.host_name));
  if (!link) return absl::InternalError(absl::StrCat("the new interface ", spec.host_name, " is gone"));
  return link->index;
}

absl::Status Links::BringUpLoopback() {
  NetlinkBatch batch;
  PutLinkUp(batch, kLoopbackIndex);
  return socket_.Execute(batch);
}

absl::Status Links::ConfigurePodEnd(const PodEnd& end) {
  ASSIGN_OR_RETURN(const std::optional<Link> link, Find(end.name));
  if (!link) return absl::InternalError(absl::StrCat("the pod has no interface ", end.name));
  bool has_v6 = false;
  for (const IpAddress& address : end.addresses) has_v6 = has_v6 || address.v6;
  NetlinkBatch batch;
  PutLinkUp(batch, kLoopbackIndex);
  if (end.ipv6_available && !has_v6) PutNoAutoAddress(batch, link->index, "");
  PutLinkUp(batch, link->index);
  for (const IpAddress& address : end.addresses) PutNewAddress(batch, link->index, address, kCreate);
  for (const IpAddress& gateway : end.gateways) {
    PutNeighbour(batch, link->index, gateway, end.gateway_mac);
    PutDefaultRoute(batch, link->index, gateway);
  }
  return socket_.Execute(batch);
}

absl::Status Links::RouteToPod(std::uint32_t index, const std::vector<IpAddress>& addresses,
                               const std::vector<IpAddress>& sources, const MacAddress& pod_mac) {
  NetlinkBatch batch;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    PutNeighbour(batch, index, addresses[i], pod_mac);
    PutPodRoute(batch, RTM_NEWROUTE, kReplace, addresses[i], index, &sources.at(i));
  }
  RETURN_IF_ERROR(socket_.Execute(batch));
  // Asking for the interface makes the kernel (6.8 on) finish its carrier change now: until then it drops what is
  // sent to the pod, and a lost SYN costs a second.
  return FindIndex(index).status();
}

absl::Status Links::UnrouteFromPod(const std::vector<IpAddress>& addresses) {
  absl::Status first = absl::OkStatus();
  for (const IpAddress& address : addresses) {
    NetlinkBatch batch;
    PutPodRoute(batch, RTM_DELROUTE, 0, address, 0, nullptr);
    const absl::Status status = socket_.Execute(batch);
    if (!status.ok() && ErrnoOf(status) != ESRCH && first.ok()) first = status;
  }
  return first;
}

absl::StatusOr<std::uint32_t> Links::EnsureAddressHolder(const std::string& name) {
  // Not lo: its addresses would become the source of every interface that has none. Kernels without the dummy driver
  // have bridges, and a bridge without ports is as good.
  for (const char* kind : {"dummy", "bridge"}) {
    NetlinkBatch batch;
    nlmsghdr* message = nullptr;
    ifinfomsg* info = BeginLink(batch, RTM_NEWLINK, kCreate, &message);
    info->ifi_flags = info->ifi_change = IFF_UP;
    mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
    nlattr* link_info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, kind);
    mnl_attr_nest_end(message, link_info);
    const absl::Status status = socket_.Execute(batch);
    if (ErrnoOf(status) == EOPNOTSUPP) continue;
    if (!status.ok() && ErrnoOf(status) != EEXIST) return Annotate(status, absl::StrCat("making ", name, ": "));
    ASSIGN_OR_RETURN(const std::optional<Link> link, Find(name));
    if (link) return link->index;
  }
  return absl::UnimplementedError("the kernel has neither dummy nor bridge interfaces");
}

absl::Status Links::AddAddress(std::uint32_t index, const IpAddress& address) {
  NetlinkBatch batch;
  PutNewAddress(batch, index, address, kReplace);
  return socket_.Execute(batch);
}

absl::Status Links::AddUnreachable(const Cidr& range) {
  NetlinkBatch batch;
  PutUnreachable(batch, RTM_NEWROUTE, kReplace, range);
  return socket_.Execute(batch);
}

absl::Status Links::RemoveUnreachable(const Cidr& range) {
  NetlinkBatch batch;
  PutUnreachable(batch, RTM_DELROUTE, 0, range);
  const absl::Status status = socket_.Execute(batch);
  return ErrnoOf(status) == ESRCH ? absl::OkStatus() : status;
}

absl::StatusOr<bool> Links::Makes(const std::string& kind) {
  static constexpr const char* kTrial = "burstlet-trial";
  NetlinkBatch batch;
  nlmsghdr* message = nullptr;
  BeginLink(batch, RTM_NEWLINK, kCreate, &message);
  mnl_attr_put_strz(message, IFLA_IFNAME, kTrial);
  nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  mnl_attr_put_strz(message, IFLA_INFO_KIND, kind.c_str());
  mnl_attr_nest_end(message, info);
  const absl::Status status = socket_.Execute(batch);
  if (ErrnoOf(status) == EOPNOTSUPP) return false;
  if (!status.ok()) return Annotate(status, absl::StrCat("an interface of the kind ", kind));
  RETURN_IF_ERROR(Delete({kTrial}));
  return true;
}

absl::Status Links::Delete(const std::vector<std::string>& names) {
  absl::Status first = absl::OkStatus();
  for (const std::string& name : names) {
    NetlinkBatch batch;
    nlmsghdr* message = nullptr;
    BeginLink(batch, RTM_DELLINK, 0, &message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
    const absl::Status status = socket_.Execute(batch);
    if (!status.ok() && ErrnoOf(status) != ENODEV && first.ok()) first = Annotate(status, absl::StrCat(name, ": "));
  }
  return first;
}

}  // namespace burstlet::sandbox
