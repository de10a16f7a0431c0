#include "sandbox/net/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "metrics/status.h"
#include "sandbox/net/netlink.h"

namespace burstlet::sandbox {
namespace {

// The kernel's CTA_FILTER_F_* _PROTO_NUM (net/netfilter/nf_internals.h), not in the headers for programs.
constexpr std::uint32_t kFilterProtocol = 1u << 3;
// A flood of flows is forgotten in parts at the most; the rest ages out.
constexpr std::size_t kMostFlows = 65536;

nlmsghdr* BeginConntrack(NetlinkBatch& batch, std::uint16_t type, std::uint16_t flags, bool v6) {
  nlmsghdr* message = batch.Begin(static_cast<std::uint16_t>((NFNL_SUBSYS_CTNETLINK << 8) | type), flags);
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  header->nfgen_family = v6 ? AF_INET6 : AF_INET;
  header->version = NFNETLINK_V0;
  return message;
}

/// Asks for UDP flows only; kernels before 5.8 send all, so the answer is filtered once more.
void PutQuestion(NetlinkBatch& batch, bool v6) {
  nlmsghdr* message = BeginConntrack(batch, IPCTNL_MSG_CT_GET, NLM_F_DUMP, v6);
  nlattr* tuple = mnl_attr_nest_start(message, CTA_TUPLE_ORIG);
  nlattr* protocol = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
  mnl_attr_put_u8(message, CTA_PROTO_NUM, IPPROTO_UDP);
  mnl_attr_nest_end(message, protocol);
  mnl_attr_nest_end(message, tuple);
  nlattr* filter = mnl_attr_nest_start(message, CTA_FILTER);
  mnl_attr_put_u32(message, CTA_FILTER_ORIG_FLAGS, kFilterProtocol);
  mnl_attr_nest_end(message, filter);
}

const nlattr* Nested(const nlattr* parent, std::uint16_t type) {
  if (parent == nullptr) return nullptr;
  return FindAttribute(mnl_attr_get_payload(parent), mnl_attr_get_payload_len(parent), type);
}

/// A flow as the kernel described it; what names it is sent back unread.
struct Flow {
  std::vector<char> tuple;
  std::vector<char> zone;
};

std::vector<char> BytesOf(const nlattr* attribute) {
  if (attribute == nullptr) return {};
  const char* data = static_cast<const char*>(mnl_attr_get_payload(attribute));
  return {data, data + mnl_attr_get_payload_len(attribute)};
}

/// The destination port of a UDP tuple, or 0.
std::uint16_t UdpPortOf(const nlattr* tuple) {
  const nlattr* protocol = Nested(tuple, CTA_TUPLE_PROTO);
  const nlattr* number = Nested(protocol, CTA_PROTO_NUM);
  const nlattr* destination = Nested(protocol, CTA_PROTO_DST_PORT);
  if (number == nullptr || mnl_attr_get_payload_len(number) < 1 || mnl_attr_get_u8(number) != IPPROTO_UDP) return 0;
  if (destination == nullptr || mnl_attr_get_payload_len(destination) < 2) return 0;
  return ntohs(mnl_attr_get_u16(destination));
}

}  // namespace

absl::Status ForgetUdpFlows(bool v6, const std::function<bool(const IpAddress&, std::uint16_t)>& concerns) {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(NETLINK_NETFILTER));
  std::vector<Flow> flows;
  NetlinkBatch question;
  PutQuestion(question, v6);
  RETURN_IF_ERROR(socket.Dump(question, [&](const nlmsghdr* answer) {
    const nlattr* tuple = FindAttribute(answer, sizeof(nfgenmsg), CTA_TUPLE_ORIG);
    const nlattr* destination = Nested(Nested(tuple, CTA_TUPLE_IP), v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST);
    IpAddress address{.v6 = v6, .bytes = {}};
    if (destination == nullptr || mnl_attr_get_payload_len(destination) != address.size()) return absl::OkStatus();
    std::copy_n(static_cast<const std::uint8_t*>(mnl_attr_get_payload(destination)), address.size(),
                address.bytes.begin());
    if (flows.size() < kMostFlows && concerns(address, UdpPortOf(tuple))) {
      flows.push_back({BytesOf(tuple), BytesOf(FindAttribute(answer, sizeof(nfgenmsg), CTA_ZONE))});
    }
    return absl::OkStatus();
  }));
  absl::Status first = absl::OkStatus();
  for (const Flow& flow : flows) {
    NetlinkBatch batch;
    nlmsghdr* message = BeginConntrack(batch, IPCTNL_MSG_CT_DELETE, 0, v6);
    mnl_attr_put(message, CTA_TUPLE_ORIG | NLA_F_NESTED, flow.tuple.size(), flow.tuple.data());
    if (!flow.zone.empty()) mnl_attr_put(message, CTA_ZONE, flow.zone.size(), flow.zone.data());
    const absl::Status status = socket.Execute(batch);
    // ENOENT: it ended meanwhile.
    if (!status.ok() && ErrnoOf(status) != ENOENT && first.ok()) first = status;
  }
  return first;
}

}  // namespace burstlet::sandbox
