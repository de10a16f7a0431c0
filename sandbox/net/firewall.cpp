#include "sandbox/net/firewall.h"

// Before the kernel's headers, which stand back when the C library's are there.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <algorithm>
#include <cstdio>  // libnftnl's headers name FILE
#include <cstring>
#include <memory>

#include <libnftnl/chain.h>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/net/netlink.h"

namespace burstlet::sandbox {
namespace {

// A legacy table of a real host has kilobytes; this only bounds the buffer.
constexpr std::uint32_t kMaxLegacyTable = 64u << 20;

const char* FamilyName(std::uint32_t family) {
  switch (family) {
    case NFPROTO_INET:
      return "inet";
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    default:
      return nullptr;  // bridge, arp and netdev do not see routed packets
  }
}

std::string NftRemedy(const std::string& family, const std::string& table, const std::string& chain) {
  if (table == "filter" && chain == "FORWARD" && family != "inet") {
    return absl::StrCat(family == "ip6" ? "ip6tables" : "iptables", " -P FORWARD ACCEPT");
  }
  return absl::StrCat("nft chain ", family, " ", table, " ", chain, " '{ policy accept; }'");
}

absl::Status AddNftDroppers(std::vector<ForwardDropper>& found) {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(NETLINK_NETFILTER));
  NetlinkBatch batch;
  nlmsghdr* message = batch.Begin((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN, NLM_F_DUMP);
  mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg));  // zeroes: every family
  return socket.Dump(batch, [&found](const nlmsghdr* answer) {
    std::unique_ptr<nftnl_chain, void (*)(const nftnl_chain*)> chain(nftnl_chain_alloc(), nftnl_chain_free);
    if (chain == nullptr) return absl::ResourceExhaustedError("nftables: out of memory");
    if (nftnl_chain_nlmsg_parse(answer, chain.get()) < 0) return absl::OkStatus();
    const char* family = FamilyName(nftnl_chain_get_u32(chain.get(), NFTNL_CHAIN_FAMILY));
    if (family == nullptr || !nftnl_chain_is_set(chain.get(), NFTNL_CHAIN_HOOKNUM) ||
        nftnl_chain_get_u32(chain.get(), NFTNL_CHAIN_HOOKNUM) != NF_INET_FORWARD ||
        nftnl_chain_get_u32(chain.get(), NFTNL_CHAIN_POLICY) != NF_DROP) {
      return absl::OkStatus();
    }
    const std::string table = nftnl_chain_get_str(chain.get(), NFTNL_CHAIN_TABLE);
    const std::string name = nftnl_chain_get_str(chain.get(), NFTNL_CHAIN_NAME);
    found.push_back({.description = absl::StrCat("nftables table ", family, " ", table, ", chain ", name),
                     .remedy = NftRemedy(family, table, name)});
    return absl::OkStatus();
  });
}

/// One of the two address families of iptables-legacy: the same protocol with other structs.
struct Ipv4Tables {
  using Info = ipt_getinfo;
  using Entries = ipt_get_entries;
  using Entry = ipt_entry;
  static constexpr int kFamily = AF_INET, kLevel = SOL_IP;
  static constexpr int kGetInfo = IPT_SO_GET_INFO, kGetEntries = IPT_SO_GET_ENTRIES;
  static constexpr const char* kLoaded = "/proc/thread-self/net/ip_tables_names";
  static constexpr const char* kCommand = "iptables-legacy";
};
struct Ipv6Tables {
  using Info = ip6t_getinfo;
  using Entries = ip6t_get_entries;
  using Entry = ip6t_entry;
  static constexpr int kFamily = AF_INET6, kLevel = SOL_IPV6;
  static constexpr int kGetInfo = IP6T_SO_GET_INFO, kGetEntries = IP6T_SO_GET_ENTRIES;
  static constexpr const char* kLoaded = "/proc/thread-self/net/ip6_tables_names";
  static constexpr const char* kCommand = "ip6tables-legacy";
};

/// Asking for a table would load it, so the kernel's list of loaded ones is read first.
bool FilterTableLoaded(const char* list) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(list, "re"), std::fclose);
  char line[64];
  while (file != nullptr && std::fgets(line, sizeof line, file.get()) != nullptr) {
    if (std::strcmp(line, "filter\n") == 0) return true;
  }
  return false;
}

/// The policy stands in the chain's last entry (its "underflow"): a standard target with verdict -NF_DROP - 1.
template <typename Tables>
bool LegacyForwardDrops(int fd) {
  typename Tables::Info info{};
  std::strcpy(info.name, "filter");
  socklen_t size = sizeof info;
  if (getsockopt(fd, Tables::kLevel, Tables::kGetInfo, &info, &size) != 0 || info.size > kMaxLegacyTable) return false;
  constexpr std::size_t kHeader = offsetof(typename Tables::Entries, entrytable);
  std::vector<char> buffer(kHeader + info.size);
  typename Tables::Entries request{};
  std::strcpy(request.name, "filter");
  request.size = info.size;
  std::memcpy(buffer.data(), &request, std::min(sizeof request, kHeader));
  size = static_cast<socklen_t>(buffer.size());
  if (getsockopt(fd, Tables::kLevel, Tables::kGetEntries, buffer.data(), &size) != 0) return false;
  const std::size_t at = kHeader + info.underflow[NF_INET_FORWARD];
  typename Tables::Entry entry;
  if (at + sizeof entry > buffer.size()) return false;
  std::memcpy(&entry, buffer.data() + at, sizeof entry);
  xt_standard_target target;
  const std::size_t target_at = at + entry.target_offset;
  if (target_at + sizeof target > buffer.size()) return false;
  std::memcpy(&target, buffer.data() + target_at, sizeof target);
  return target.target.u.user.name[0] == '\0' && target.verdict == -NF_DROP - 1;
}

template <typename Tables>
void AddLegacyDropper(std::vector<ForwardDropper>& found) {
  if (!FilterTableLoaded(Tables::kLoaded)) return;
  const int fd = socket(Tables::kFamily, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) return;
  const bool drops = LegacyForwardDrops<Tables>(fd);
  close(fd);
  if (!drops) return;
  found.push_back({.description = absl::StrCat(Tables::kCommand, " table filter, chain FORWARD"),
                   .remedy = absl::StrCat(Tables::kCommand, " -P FORWARD ACCEPT")});
}

}  // namespace

absl::StatusOr<std::vector<ForwardDropper>> FindForwardDroppers() {
  std::vector<ForwardDropper> found;
  RETURN_IF_ERROR(Annotate(AddNftDroppers(found), "listing nftables chains: "));
  AddLegacyDropper<Ipv4Tables>(found);
  AddLegacyDropper<Ipv6Tables>(found);
  return found;
}

absl::Status CheckForwarding() {
  ASSIGN_OR_RETURN(const std::vector<ForwardDropper> found, FindForwardDroppers());
  if (found.empty()) return absl::OkStatus();
  std::string text = "a firewall drops forwarded packets by default:";
  for (const ForwardDropper& dropper : found) {
    absl::StrAppend(&text, " ", dropper.description, " (to let pods through: ", dropper.remedy, ");");
  }
  text.pop_back();
  return absl::FailedPreconditionError(text);
}

}  // namespace burstlet::sandbox
