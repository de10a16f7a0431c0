// One nftables rule under construction: thin, typed names over libnftnl's expressions.
//
// A rule is a list of steps on registers (nft(8), "nft --debug=netlink" shows the same words). Not thread-safe; a
// failed allocation is remembered and makes Put fail.
#pragma once

#include <cstdio>  // libnftnl's headers name FILE

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "sandbox/net/address.h"
#include "sandbox/net/netlink.h"

namespace burstlet::sandbox {

class NftRule {
 public:
  NftRule(const std::string& table, const std::string& chain);

  /// Goes on only for packets of IPv6 (`v6`) or IPv4.
  NftRule& IsFamily(bool v6);
  /// Goes on when the incoming (`incoming`) or outgoing interface's name begins, or does not begin, with a text.
  NftRule& InterfaceBegins(bool incoming, const std::string& prefix, bool equal = true);
  /// Goes on when the source (`source`) or destination address lies, or does not lie, in a range.
  NftRule& AddressIn(bool source, const Cidr& range, bool equal = true);
  /// Goes on when the destination is, or is not, an address of this host.
  NftRule& DestinationIsLocal(bool equal);
  /// Goes on when the way back to the source does not lead through the incoming interface.
  NftRule& SourceNotBehindInterface();

  /// Loads: into 32-bit register `slot` (0..15) and the ones after it.
  NftRule& LoadAddress(bool source, bool v6, unsigned slot);
  NftRule& LoadProtocol(unsigned slot);
  NftRule& LoadDestinationPort(unsigned slot);
  NftRule& LoadImmediate(const void* data, std::size_t bytes, unsigned slot);
  /// Goes on when the registers from slot 0 are in a set; a map's value replaces them.
  NftRule& Lookup(const std::string& set, bool map);

  NftRule& Drop();
  NftRule& Accept();
  /// Rewrites the destination: the address in slot 0, the port in `port_slot`.
  NftRule& Dnat(bool v6, unsigned port_slot);
  NftRule& Snat(const IpAddress& address);
  NftRule& Masquerade();

  /// Appends the rule to a batch. False: out of memory.
  bool Put(NetlinkBatch& batch) const;

 private:
  struct FreeRule {
    void operator()(nftnl_rule* rule) const { nftnl_rule_free(rule); }
  };
  nftnl_expr* Add(const char* name);
  NftRule& Verdict(std::int32_t verdict);
  NftRule& LoadMeta(std::uint32_t key, unsigned slot);
  NftRule& LoadPayload(std::uint32_t base, std::uint32_t offset, std::uint32_t bytes, unsigned slot);
  NftRule& Compare(const void* data, std::size_t bytes, bool equal);

  std::unique_ptr<nftnl_rule, FreeRule> rule_;
};

/// Starts a message of nf_tables: `type` is NFT_MSG_*, the family is inet.
nlmsghdr* BeginNft(NetlinkBatch& batch, std::uint16_t type, std::uint16_t flags);

}  // namespace burstlet::sandbox
