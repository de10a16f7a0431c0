#include "sandbox/net/nft_rule.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

namespace burstlet::sandbox {
namespace {

constexpr std::uint32_t Register(unsigned slot) { return NFT_REG32_00 + slot; }

}  // namespace

nlmsghdr* BeginNft(NetlinkBatch& batch, std::uint16_t type, std::uint16_t flags) {
  nlmsghdr* message = batch.Begin(static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | type), flags);
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  header->nfgen_family = NFPROTO_INET;
  header->version = NFNETLINK_V0;
  return message;
}

NftRule::NftRule(const std::string& table, const std::string& chain) : rule_(nftnl_rule_alloc()) {
  if (rule_ == nullptr) return;
  nftnl_rule_set_u32(rule_.get(), NFTNL_RULE_FAMILY, NFPROTO_INET);
  nftnl_rule_set_str(rule_.get(), NFTNL_RULE_TABLE, table.c_str());
  nftnl_rule_set_str(rule_.get(), NFTNL_RULE_CHAIN, chain.c_str());
}

nftnl_expr* NftRule::Add(const char* name) {
  nftnl_expr* expression = rule_ == nullptr ? nullptr : nftnl_expr_alloc(name);
  if (expression == nullptr) {
    rule_.reset();
    return nullptr;
  }
  nftnl_rule_add_expr(rule_.get(), expression);
  return expression;
}

NftRule& NftRule::LoadMeta(std::uint32_t key, unsigned slot) {
  if (nftnl_expr* expression = Add("meta")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_META_DREG, Register(slot));
  }
  return *this;
}

NftRule& NftRule::LoadPayload(std::uint32_t base, std::uint32_t offset, std::uint32_t bytes, unsigned slot) {
  if (nftnl_expr* expression = Add("payload")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_LEN, bytes);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_PAYLOAD_DREG, Register(slot));
  }
  return *this;
}

NftRule& NftRule::Compare(const void* data, std::size_t bytes, bool equal) {
  if (nftnl_expr* expression = Add("cmp")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_CMP_SREG, Register(0));
    nftnl_expr_set_u32(expression, NFTNL_EXPR_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
    nftnl_expr_set(expression, NFTNL_EXPR_CMP_DATA, data, static_cast<std::uint32_t>(bytes));
  }
  return *this;
}

NftRule& NftRule::IsFamily(bool v6) {
  const std::uint8_t family = v6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
  return LoadMeta(NFT_META_NFPROTO, 0).Compare(&family, sizeof family, true);
}

NftRule& NftRule::InterfaceBegins(bool incoming, const std::string& prefix, bool equal) {
  return LoadMeta(incoming ? NFT_META_IIFNAME : NFT_META_OIFNAME, 0).Compare(prefix.data(), prefix.size(), equal);
}

NftRule& NftRule::LoadAddress(bool source, bool v6, unsigned slot) {
  // struct iphdr: 12, 16; struct ipv6hdr: 8, 24.
  const std::uint32_t offset = v6 ? (source ? 8 : 24) : (source ? 12 : 16);
  return LoadPayload(NFT_PAYLOAD_NETWORK_HEADER, offset, v6 ? 16 : 4, slot);
}

NftRule& NftRule::AddressIn(bool source, const Cidr& range, bool equal) {
  LoadAddress(source, range.base.v6, 0);
  const auto mask = range.Mask();
  static constexpr std::uint8_t kZeroes[16] = {};
  const auto bytes = static_cast<std::uint32_t>(range.base.size());
  if (nftnl_expr* expression = Add("bitwise")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_BITWISE_SREG, Register(0));
    nftnl_expr_set_u32(expression, NFTNL_EXPR_BITWISE_DREG, Register(0));
    nftnl_expr_set_u32(expression, NFTNL_EXPR_BITWISE_LEN, bytes);
    nftnl_expr_set(expression, NFTNL_EXPR_BITWISE_MASK, mask.data(), bytes);
    nftnl_expr_set(expression, NFTNL_EXPR_BITWISE_XOR, kZeroes, bytes);
  }
  return Compare(range.base.bytes.data(), bytes, equal);
}

NftRule& NftRule::DestinationIsLocal(bool equal) {
  if (nftnl_expr* expression = Add("fib")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_FIB_DREG, Register(0));
  }
  const std::uint32_t local = RTN_LOCAL;
  return Compare(&local, sizeof local, equal);
}

NftRule& NftRule::SourceNotBehindInterface() {
  if (nftnl_expr* expression = Add("fib")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIF);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_FIB_DREG, Register(0));
  }
  const std::uint32_t none = 0;
  return Compare(&none, sizeof none, true);
}

NftRule& NftRule::LoadProtocol(unsigned slot) { return LoadMeta(NFT_META_L4PROTO, slot); }

NftRule& NftRule::LoadDestinationPort(unsigned slot) { return LoadPayload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, slot); }

NftRule& NftRule::LoadImmediate(const void* data, std::size_t bytes, unsigned slot) {
  if (nftnl_expr* expression = Add("immediate")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_DREG, Register(slot));
    nftnl_expr_set(expression, NFTNL_EXPR_IMM_DATA, data, static_cast<std::uint32_t>(bytes));
  }
  return *this;
}

NftRule& NftRule::Lookup(const std::string& set, bool map) {
  if (nftnl_expr* expression = Add("lookup")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_LOOKUP_SREG, Register(0));
    nftnl_expr_set_str(expression, NFTNL_EXPR_LOOKUP_SET, set.c_str());
    if (map) nftnl_expr_set_u32(expression, NFTNL_EXPR_LOOKUP_DREG, Register(0));
  }
  return *this;
}

NftRule& NftRule::Verdict(std::int32_t verdict) {
  if (nftnl_expr* expression = Add("immediate")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_IMM_VERDICT, static_cast<std::uint32_t>(verdict));
  }
  return *this;
}

NftRule& NftRule::Drop() { return Verdict(NF_DROP); }
NftRule& NftRule::Accept() { return Verdict(NF_ACCEPT); }

NftRule& NftRule::Dnat(bool v6, unsigned port_slot) {
  if (nftnl_expr* expression = Add("nat")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_NAT_FAMILY, v6 ? NFPROTO_IPV6 : NFPROTO_IPV4);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_NAT_REG_ADDR_MIN, Register(0));
    nftnl_expr_set_u32(expression, NFTNL_EXPR_NAT_REG_PROTO_MIN, Register(port_slot));
  }
  return *this;
}

NftRule& NftRule::Snat(const IpAddress& address) {
  LoadImmediate(address.bytes.data(), address.size(), 0);
  if (nftnl_expr* expression = Add("nat")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_NAT_TYPE, NFT_NAT_SNAT);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_NAT_FAMILY, address.v6 ? NFPROTO_IPV6 : NFPROTO_IPV4);
    nftnl_expr_set_u32(expression, NFTNL_EXPR_NAT_REG_ADDR_MIN, Register(0));
  }
  return *this;
}

NftRule& NftRule::Masquerade() {
  // Fully random ports: the kernel's first choice can collide when many pods connect to one server at once.
  if (nftnl_expr* expression = Add("masq")) {
    nftnl_expr_set_u32(expression, NFTNL_EXPR_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
  }
  return *this;
}

bool NftRule::Put(NetlinkBatch& batch) const {
  if (rule_ == nullptr) return false;
  nftnl_rule_nlmsg_build_payload(BeginNft(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND), rule_.get());
  return true;
}

}  // namespace burstlet::sandbox
