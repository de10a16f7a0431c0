#include "sandbox/net/bandwidth.h"

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/net/netlink.h"

namespace burstlet::sandbox {
namespace {

// The bucket holds a tenth of a second, but always a few whole packets of any MTU, and what the kernel can count.
constexpr std::uint64_t kLeastBurst = 128 << 10;
constexpr std::uint64_t kMostBurst = 1 << 30;
constexpr std::uint64_t kBurstsPerSecond = 10;
constexpr std::uint64_t kQueuesPerSecond = 20;

constexpr const char* kIngress = "io.burstlet.network.ingress-bits-per-second";
constexpr const char* kEgress = "io.burstlet.network.egress-bits-per-second";

std::uint64_t NumberOf(const std::map<std::string, std::string>& labels, const char* name) {
  std::uint64_t number = 0;
  const auto it = labels.find(name);
  if (it != labels.end()) std::from_chars(it->second.data(), it->second.data() + it->second.size(), number);
  return number;
}

}  // namespace

void PutBandwidth(const Bandwidth& bandwidth, std::map<std::string, std::string>& labels) {
  if (bandwidth.ingress != 0) labels[kIngress] = std::to_string(bandwidth.ingress);
  if (bandwidth.egress != 0) labels[kEgress] = std::to_string(bandwidth.egress);
}

Bandwidth BandwidthOf(const std::map<std::string, std::string>& labels) {
  return {.ingress = NumberOf(labels, kIngress), .egress = NumberOf(labels, kEgress)};
}

absl::Status LimitSending(const std::string& interface, std::uint64_t bits_per_second) {
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) return ErrnoError(errno, interface);
  const std::uint64_t rate = std::max<std::uint64_t>(bits_per_second / 8, 1);
  const auto burst = static_cast<std::uint32_t>(std::clamp(rate / kBurstsPerSecond, kLeastBurst, kMostBurst));
  tc_tbf_qopt options{};
  options.rate.rate = static_cast<std::uint32_t>(std::min<std::uint64_t>(rate, UINT32_MAX));
  options.rate.linklayer = TC_LINKLAYER_ETHERNET;  // no rate table: the kernel computes
  options.limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(burst + rate / kQueuesPerSecond, UINT32_MAX));

  NetlinkBatch batch;
  nlmsghdr* message = batch.Begin(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE);
  auto* header = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(tcmsg)));
  header->tcm_family = AF_UNSPEC;
  header->tcm_ifindex = static_cast<int>(index);
  header->tcm_parent = TC_H_ROOT;
  header->tcm_handle = TC_H_MAKE(1u << 16, 0u);
  mnl_attr_put_strz(message, TCA_KIND, "tbf");
  nlattr* nest = mnl_attr_nest_start(message, TCA_OPTIONS);
  mnl_attr_put(message, TCA_TBF_PARMS, sizeof options, &options);
  mnl_attr_put_u32(message, TCA_TBF_BURST, burst);
  if (rate > UINT32_MAX) mnl_attr_put_u64(message, TCA_TBF_RATE64, rate);
  mnl_attr_nest_end(message, nest);
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(NETLINK_ROUTE));
  return Annotate(socket.Execute(batch), absl::StrCat("limiting ", interface, ": "));
}

}  // namespace burstlet::sandbox
