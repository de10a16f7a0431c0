// What Links asks: interfaces, addresses and the way out.

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "metrics/status.h"
#include "sandbox/net/links.h"

namespace burstlet::sandbox {
namespace {

std::optional<Link> ParseLink(const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(ifinfomsg)) return std::nullopt;
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  return Link{.index = static_cast<std::uint32_t>(info->ifi_index),
              .name = AttrString(FindAttribute(message, sizeof(ifinfomsg), IFLA_IFNAME)),
              .mtu = AttrU32(FindAttribute(message, sizeof(ifinfomsg), IFLA_MTU)),
              .peer = AttrU32(FindAttribute(message, sizeof(ifinfomsg), IFLA_LINK))};
}

std::string KindOf(const nlmsghdr* message) {
  const nlattr* link_info = FindAttribute(message, sizeof(ifinfomsg), IFLA_LINKINFO);
  if (link_info == nullptr) return "";
  return AttrString(
      FindAttribute(mnl_attr_get_payload(link_info), mnl_attr_get_payload_len(link_info), IFLA_INFO_KIND));
}

/// The interface towards an address that is in no use anywhere (TEST-NET-1, 2001:db8::/32), hence the default route's.
void PutRouteQuestion(NetlinkBatch& batch, bool v6) {
  static constexpr std::uint8_t kV4[] = {192, 0, 2, 1};
  static constexpr std::uint8_t kV6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  nlmsghdr* message = batch.Begin(RTM_GETROUTE, 0);
  auto* route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
  route->rtm_family = v6 ? AF_INET6 : AF_INET;
  route->rtm_dst_len = v6 ? 128 : 32;
  if (v6) {
    mnl_attr_put(message, RTA_DST, sizeof kV6, kV6);
  } else {
    mnl_attr_put(message, RTA_DST, sizeof kV4, kV4);
  }
}

}  // namespace

absl::StatusOr<std::optional<Link>> Links::FindBy(NetlinkBatch& batch) {
  std::optional<Link> found;
  const absl::Status status = socket_.Execute(batch, [&](const nlmsghdr* message) {
    found = ParseLink(message);
    return absl::OkStatus();
  });
  if (ErrnoOf(status) == ENODEV) return std::optional<Link>();
  if (!status.ok()) return status;
  return found;
}

absl::StatusOr<std::optional<Link>> Links::Find(const std::string& name) {
  NetlinkBatch batch;
  nlmsghdr* message = batch.Begin(RTM_GETLINK, 0);
  mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
  mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
  return FindBy(batch);
}

absl::StatusOr<std::optional<Link>> Links::FindIndex(std::uint32_t index) {
  NetlinkBatch batch;
  nlmsghdr* message = batch.Begin(RTM_GETLINK, 0);
  auto* info = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  info->ifi_index = static_cast<int>(index);
  return FindBy(batch);
}

absl::StatusOr<std::vector<Link>> Links::List(const std::string& kind, const std::string& name_prefix) {
  NetlinkBatch batch;
  nlmsghdr* message = batch.Begin(RTM_GETLINK, NLM_F_DUMP);
  mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
  std::vector<Link> links;
  RETURN_IF_ERROR(socket_.Dump(batch, [&](const nlmsghdr* answer) {
    std::optional<Link> link = ParseLink(answer);
    if (link && link->name.starts_with(name_prefix) && (kind.empty() || KindOf(answer) == kind)) {
      links.push_back(*std::move(link));
    }
    return absl::OkStatus();
  }));
  return links;
}

absl::StatusOr<std::vector<InterfaceAddress>> Links::ListAddresses() {
  NetlinkBatch batch;
  nlmsghdr* message = batch.Begin(RTM_GETADDR, NLM_F_DUMP);
  mnl_nlmsg_put_extra_header(message, sizeof(ifaddrmsg));
  std::vector<InterfaceAddress> addresses;
  RETURN_IF_ERROR(socket_.Dump(batch, [&](const nlmsghdr* answer) {
    if (answer->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(answer) < sizeof(ifaddrmsg)) {
      return absl::OkStatus();
    }
    const auto* info = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(answer));
    // IFA_ADDRESS is the other end on point-to-point links; IFA_LOCAL is absent for most of IPv6.
    const nlattr* attribute = FindAttribute(answer, sizeof(ifaddrmsg), IFA_LOCAL);
    if (attribute == nullptr) attribute = FindAttribute(answer, sizeof(ifaddrmsg), IFA_ADDRESS);
    InterfaceAddress entry{.index = info->ifa_index, .address = {.v6 = info->ifa_family == AF_INET6, .bytes = {}}};
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != entry.address.size()) return absl::OkStatus();
    const auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
    std::copy_n(bytes, entry.address.size(), entry.address.bytes.begin());
    addresses.push_back(entry);
    return absl::OkStatus();
  }));
  return addresses;
}

std::optional<std::uint32_t> Links::DefaultRouteMtu() {
  for (const bool v6 : {false, true}) {
    NetlinkBatch batch;
    PutRouteQuestion(batch, v6);
    std::uint32_t index = 0;
    const absl::Status status = socket_.Execute(batch, [&](const nlmsghdr* answer) {
      if (mnl_nlmsg_get_payload_len(answer) < sizeof(rtmsg)) return absl::OkStatus();
      // Without a default route IPv6 answers "unreachable", by lo.
      if (static_cast<const rtmsg*>(mnl_nlmsg_get_payload(answer))->rtm_type != RTN_UNICAST) return absl::OkStatus();
      index = AttrU32(FindAttribute(answer, sizeof(rtmsg), RTA_OIF));
      return absl::OkStatus();
    });
    if (!status.ok() || index == 0) continue;
    const absl::StatusOr<std::optional<Link>> link = FindIndex(index);
    if (link.ok() && link->has_value() && (*link)->mtu != 0) return (*link)->mtu;
  }
  return std::nullopt;
}

}  // namespace burstlet::sandbox
