#include "sandbox/net/nat_table.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>  // libnftnl's headers name FILE
#include <set>
#include <utility>

#include <libnftnl/chain.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "sandbox/net/nft_rule.h"

namespace burstlet::sandbox {
namespace {

// nft(8)'s numbers of its own types, by which it prints our elements: a concatenation has six bits per part.
constexpr std::uint32_t kTypeIpv4 = 7;
constexpr std::uint32_t kTypeIpv6 = 8;
constexpr std::uint32_t kTypeProtocol = 12;
constexpr std::uint32_t kTypePort = 13;

constexpr const char* kGuard = "guard";
constexpr const char* kPortsIn = "hostports-in";
constexpr const char* kPortsOut = "hostports-out";
constexpr const char* kPostrouting = "postrouting";

// Elements per message, so that one stays far below NetlinkBatch::kMaxMessage.
constexpr std::size_t kElementsPerMessage = 64;

const char* PortMap(bool v6) { return v6 ? "hostports6" : "hostports4"; }
const char* HairpinSet(bool v6) { return v6 ? "hairpin6" : "hairpin4"; }

absl::Status OutOfMemory() { return absl::ResourceExhaustedError("nftables: out of memory"); }

/// A key or value of concatenated parts, each padded to whole 32-bit registers.
class Concatenation {
 public:
  Concatenation& Bytes(const void* data, std::size_t bytes) {
    const auto* from = static_cast<const std::uint8_t*>(data);
    std::copy_n(from, bytes, bytes_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ += (bytes + 3) / 4 * 4;
    return *this;
  }
  Concatenation& Address(const IpAddress& address) { return Bytes(address.bytes.data(), address.size()); }
  Concatenation& Port(std::uint16_t port) {
    const std::uint16_t network_order = htons(port);
    return Bytes(&network_order, sizeof network_order);
  }
  const void* data() const { return bytes_.data(); }
  std::uint32_t size() const { return static_cast<std::uint32_t>(used_); }

 private:
  std::array<std::uint8_t, 40> bytes_{};
  std::size_t used_ = 0;
};

struct Element {
  Concatenation key;
  std::optional<Concatenation> value;
};

absl::Status PutSetElements(NetlinkBatch& batch, std::uint16_t type, const std::string& table, const char* name,
                            const std::vector<Element>& elements) {
  for (std::size_t at = 0; at < elements.size(); at += kElementsPerMessage) {
    std::unique_ptr<nftnl_set, void (*)(const nftnl_set*)> set(nftnl_set_alloc(), nftnl_set_free);
    if (set == nullptr) return OutOfMemory();
    nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, table.c_str());
    nftnl_set_set_str(set.get(), NFTNL_SET_NAME, name);
    for (std::size_t i = at; i < std::min(elements.size(), at + kElementsPerMessage); ++i) {
      nftnl_set_elem* element = nftnl_set_elem_alloc();
      if (element == nullptr) return OutOfMemory();
      nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, elements[i].key.data(), elements[i].key.size());
      // A value is not part of what is deleted.
      if (elements[i].value && type == NFT_MSG_NEWSETELEM) {
        nftnl_set_elem_set(element, NFTNL_SET_ELEM_DATA, elements[i].value->data(), elements[i].value->size());
      }
      nftnl_set_elem_add(set.get(), element);
    }
    nftnl_set_elems_nlmsg_build_payload(BeginNft(batch, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0),
                                        set.get());
  }
  return absl::OkStatus();
}

absl::Status PutSet(NetlinkBatch& batch, const std::string& table, const char* name, std::uint32_t id,
                    std::pair<std::uint32_t, std::uint32_t> key, std::pair<std::uint32_t, std::uint32_t> value) {
  std::unique_ptr<nftnl_set, void (*)(const nftnl_set*)> set(nftnl_set_alloc(), nftnl_set_free);
  if (set == nullptr) return OutOfMemory();
  nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, table.c_str());
  nftnl_set_set_str(set.get(), NFTNL_SET_NAME, name);
  nftnl_set_set_u32(set.get(), NFTNL_SET_FAMILY, NFPROTO_INET);
  nftnl_set_set_u32(set.get(), NFTNL_SET_ID, id);
  nftnl_set_set_u32(set.get(), NFTNL_SET_KEY_TYPE, key.first);
  nftnl_set_set_u32(set.get(), NFTNL_SET_KEY_LEN, key.second);
  if (value.second != 0) {
    nftnl_set_set_u32(set.get(), NFTNL_SET_FLAGS, NFT_SET_MAP);
    nftnl_set_set_u32(set.get(), NFTNL_SET_DATA_TYPE, value.first);
    nftnl_set_set_u32(set.get(), NFTNL_SET_DATA_LEN, value.second);
  }
  nftnl_set_nlmsg_build_payload(BeginNft(batch, NFT_MSG_NEWSET, NLM_F_CREATE), set.get());
  return absl::OkStatus();
}

absl::Status PutChain(NetlinkBatch& batch, const std::string& table, const char* name, const char* type,
                      std::uint32_t hook, std::int32_t priority) {
  std::unique_ptr<nftnl_chain, void (*)(const nftnl_chain*)> chain(nftnl_chain_alloc(), nftnl_chain_free);
  if (chain == nullptr) return OutOfMemory();
  nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TABLE, table.c_str());
  nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_NAME, name);
  nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TYPE, type);
  nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_HOOKNUM, hook);
  nftnl_chain_set_s32(chain.get(), NFTNL_CHAIN_PRIO, priority);
  nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_POLICY, NF_ACCEPT);
  nftnl_chain_nlmsg_build_payload(BeginNft(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE), chain.get());
  // Without a handle this empties the chain: rules of an earlier run go in the same transaction.
  std::unique_ptr<nftnl_rule, void (*)(const nftnl_rule*)> all(nftnl_rule_alloc(), nftnl_rule_free);
  if (all == nullptr) return OutOfMemory();
  nftnl_rule_set_str(all.get(), NFTNL_RULE_TABLE, table.c_str());
  nftnl_rule_set_str(all.get(), NFTNL_RULE_CHAIN, name);
  nftnl_rule_nlmsg_build_payload(BeginNft(batch, NFT_MSG_DELRULE, 0), all.get());
  return absl::OkStatus();
}

void PutBatchMark(NetlinkBatch& batch, std::uint16_t type) {
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(batch.Begin(type, 0), sizeof(nfgenmsg)));
  header->nfgen_family = AF_UNSPEC;
  header->version = NFNETLINK_V0;
  header->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

Cidr Loopback4() { return {.base = {.v6 = false, .bytes = {127}}, .prefix_length = 8}; }
Cidr Loopback6() {
  Cidr loopback{.base = {.v6 = true, .bytes = {}}, .prefix_length = 128};
  loopback.base.bytes[15] = 1;
  return loopback;
}

}  // namespace

absl::StatusOr<NatTable> NatTable::Open(NatTableSpec spec) {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(NETLINK_NETFILTER));
  return NatTable(std::move(spec), std::move(socket));
}

void NatTable::BeginTransaction(NetlinkBatch& batch) { PutBatchMark(batch, NFNL_MSG_BATCH_BEGIN); }

absl::Status NatTable::Commit(NetlinkBatch& batch) {
  batch.AcknowledgeHere();
  PutBatchMark(batch, NFNL_MSG_BATCH_END);
  return Annotate(socket_.Execute(batch), absl::StrCat("nftables table ", spec_.table, ": "));
}

absl::Status NatTable::PutTable(NetlinkBatch& batch, std::uint16_t type) {
  std::unique_ptr<nftnl_table, void (*)(const nftnl_table*)> table(nftnl_table_alloc(), nftnl_table_free);
  if (table == nullptr) return OutOfMemory();
  nftnl_table_set_str(table.get(), NFTNL_TABLE_NAME, spec_.table.c_str());
  nftnl_table_nlmsg_build_payload(BeginNft(batch, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0), table.get());
  return absl::OkStatus();
}

absl::Status NatTable::PutSets(NetlinkBatch& batch) {
  for (const Cidr& range : spec_.ranges) {
    const bool v6 = range.base.v6;
    const std::uint32_t address = v6 ? kTypeIpv6 : kTypeIpv4;
    const auto bytes = static_cast<std::uint32_t>(range.base.size());
    RETURN_IF_ERROR(PutSet(batch, spec_.table, PortMap(v6), v6 ? 3 : 1,
                           {(address << 12) | (kTypeProtocol << 6) | kTypePort, bytes + 8},
                           {(address << 6) | kTypePort, bytes + 4}));
    RETURN_IF_ERROR(
        PutSet(batch, spec_.table, HairpinSet(v6), v6 ? 4 : 2, {(address << 6) | address, 2 * bytes}, {0, 0}));
  }
  return absl::OkStatus();
}

absl::Status NatTable::PutChains(NetlinkBatch& batch) {
  // The priorities are nft(8)'s raw, dstnat and srcnat.
  RETURN_IF_ERROR(PutChain(batch, spec_.table, kGuard, "filter", NF_INET_PRE_ROUTING, -300));
  RETURN_IF_ERROR(PutChain(batch, spec_.table, kPortsIn, "nat", NF_INET_PRE_ROUTING, -100));
  RETURN_IF_ERROR(PutChain(batch, spec_.table, kPortsOut, "nat", NF_INET_LOCAL_OUT, -100));
  return PutChain(batch, spec_.table, kPostrouting, "nat", NF_INET_POST_ROUTING, 100);
}

absl::Status NatTable::PutRules(NetlinkBatch& batch) {
  bool ok = true;
  const auto rule = [this](const char* chain) { return NftRule(spec_.table, chain); };
  const auto put = [&ok, &batch](const NftRule& finished) { ok = finished.Put(batch) && ok; };

  put(rule(kGuard).InterfaceBegins(true, spec_.interface_prefix, false).Accept());
  // The pods' interfaces accept 127.0.0.1 so that the node can reach host ports there (route_localnet); this is what
  // keeps pods from using it the other way round (CVE-2020-8558).
  put(rule(kGuard).IsFamily(false).AddressIn(false, Loopback4()).Drop());
  // Link-local and unspecified sources are neighbour discovery's; they are never forwarded.
  Cidr link_local{.base = {.v6 = true, .bytes = {0xfe, 0x80}}, .prefix_length = 10};
  put(rule(kGuard).IsFamily(true).AddressIn(true, link_local).Accept());
  put(rule(kGuard).IsFamily(true).AddressIn(true, {.base = {.v6 = true, .bytes = {}}, .prefix_length = 128}).Accept());
  put(rule(kGuard).SourceNotBehindInterface().Drop());

  // IPv6 has no route_localnet: a connection to ::1 cannot be sent to a pod, so it stays with the node.
  put(rule(kPortsOut).IsFamily(true).AddressIn(false, Loopback6()).Accept());
  for (const char* chain : {kPortsIn, kPortsOut}) {
    put(rule(chain).DestinationIsLocal(false).Accept());
    for (const Cidr& range : spec_.ranges) {
      const bool v6 = range.base.v6;
      const unsigned next = v6 ? 4 : 1;  // registers behind the address
      const IpAddress any{.v6 = v6, .bytes = {}};
      put(rule(chain)
              .IsFamily(v6)
              .LoadAddress(false, v6, 0)
              .LoadProtocol(next)
              .LoadDestinationPort(next + 1)
              .Lookup(PortMap(v6), true)
              .Dnat(v6, next));
      put(rule(chain)
              .IsFamily(v6)
              .LoadImmediate(any.bytes.data(), any.size(), 0)
              .LoadProtocol(next)
              .LoadDestinationPort(next + 1)
              .Lookup(PortMap(v6), true)
              .Dnat(v6, next));
    }
  }

  for (std::size_t i = 0; i < spec_.ranges.size(); ++i) {
    const Cidr& range = spec_.ranges[i];
    const bool v6 = range.base.v6;
    const IpAddress& gateway = spec_.gateways.at(i);
    put(rule(kPostrouting)
            .IsFamily(v6)
            .LoadAddress(true, v6, 0)
            .LoadAddress(false, v6, v6 ? 4 : 1)
            .Lookup(HairpinSet(v6), false)
            .Snat(gateway));
    if (!v6) {
      put(rule(kPostrouting)
              .InterfaceBegins(false, spec_.interface_prefix)
              .IsFamily(false)
              .AddressIn(true, Loopback4())
              .Snat(gateway));
    }
    if (spec_.masquerade) {
      put(rule(kPostrouting).IsFamily(v6).AddressIn(true, range).AddressIn(false, range, false).Masquerade());
    }
  }
  return ok ? absl::OkStatus() : OutOfMemory();
}

absl::Status NatTable::PutPorts(NetlinkBatch& batch, std::uint16_t type, const std::vector<PublishedPort>& ports) {
  for (const Cidr& range : spec_.ranges) {
    const bool v6 = range.base.v6;
    std::vector<Element> targets, hairpins;
    std::set<IpAddress> pods;
    for (const PublishedPort& port : ports) {
      if (port.pod_ip.v6 != v6) continue;
      targets.push_back({Concatenation().Address(port.host_ip).Bytes(&port.protocol, 1).Port(port.host_port),
                         Concatenation().Address(port.pod_ip).Port(port.pod_port)});
      if (pods.insert(port.pod_ip).second) {
        hairpins.push_back({Concatenation().Address(port.pod_ip).Address(port.pod_ip), std::nullopt});
      }
    }
    RETURN_IF_ERROR(PutSetElements(batch, type, spec_.table, PortMap(v6), targets));
    RETURN_IF_ERROR(PutSetElements(batch, type, spec_.table, HairpinSet(v6), hairpins));
  }
  return absl::OkStatus();
}

absl::Status NatTable::PutFrame(NetlinkBatch& batch) {
  RETURN_IF_ERROR(PutTable(batch, NFT_MSG_NEWTABLE));
  RETURN_IF_ERROR(PutSets(batch));
  RETURN_IF_ERROR(PutChains(batch));
  return PutRules(batch);
}

absl::Status NatTable::Install() {
  NetlinkBatch batch;
  BeginTransaction(batch);
  RETURN_IF_ERROR(PutFrame(batch));
  if (Commit(batch).ok()) return absl::OkStatus();
  // The table of an older version can have another shape; then its ports are lost until they are published again.
  return Replace({});
}

absl::Status NatTable::Replace(const std::vector<PublishedPort>& ports) {
  NetlinkBatch batch;
  BeginTransaction(batch);
  // Only a table that exists can be deleted, so it is made first.
  RETURN_IF_ERROR(PutTable(batch, NFT_MSG_NEWTABLE));
  RETURN_IF_ERROR(PutTable(batch, NFT_MSG_DELTABLE));
  RETURN_IF_ERROR(PutFrame(batch));
  RETURN_IF_ERROR(PutPorts(batch, NFT_MSG_NEWSETELEM, ports));
  return Commit(batch);
}

absl::Status NatTable::Add(const std::vector<PublishedPort>& ports) {
  if (ports.empty()) return absl::OkStatus();
  NetlinkBatch batch;
  BeginTransaction(batch);
  RETURN_IF_ERROR(PutPorts(batch, NFT_MSG_NEWSETELEM, ports));
  return Commit(batch);
}

absl::Status NatTable::Remove(const std::vector<PublishedPort>& ports) {
  if (ports.empty()) return absl::OkStatus();
  NetlinkBatch batch;
  BeginTransaction(batch);
  RETURN_IF_ERROR(PutPorts(batch, NFT_MSG_DELSETELEM, ports));
  return Commit(batch);
}

absl::Status NatTable::Drop() {
  NetlinkBatch batch;
  BeginTransaction(batch);
  RETURN_IF_ERROR(PutTable(batch, NFT_MSG_NEWTABLE));
  RETURN_IF_ERROR(PutTable(batch, NFT_MSG_DELTABLE));
  return Commit(batch);
}

}  // namespace burstlet::sandbox
