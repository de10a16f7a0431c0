#include "sandbox/net/host_ports.h"

#include <netinet/in.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::sandbox {
namespace {

std::string ProtocolName(std::uint8_t protocol) {
  return protocol == IPPROTO_UDP ? "udp" : protocol == IPPROTO_SCTP ? "sctp" : "tcp";
}

absl::StatusOr<std::uint8_t> ParseProtocol(const std::string& text) {
  const std::string name = absl::AsciiStrToLower(text);
  if (name == "tcp" || name.empty()) return IPPROTO_TCP;
  if (name == "udp") return IPPROTO_UDP;
  if (name == "sctp") return IPPROTO_SCTP;
  return absl::InvalidArgumentError(absl::StrCat("host port with unknown protocol \"", text, "\""));
}

const IpAddress* OfFamily(const std::vector<IpAddress>& addresses, bool v6) {
  for (const IpAddress& address : addresses) {
    if (address.v6 == v6) return &address;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::vector<PublishedPort>> ResolveHostPorts(const std::vector<SandboxSpec::HostPort>& ports,
                                                            const std::vector<IpAddress>& pod_addresses) {
  std::vector<PublishedPort> resolved;
  for (const SandboxSpec::HostPort& port : ports) {
    PublishedPort published;
    ASSIGN_OR_RETURN(published.protocol, ParseProtocol(port.protocol));
    published.host_port = port.host_port;
    published.pod_port = port.container_port;
    if (port.host_port == 0 || port.container_port == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("host port ", port.host_port, " to container port ", port.container_port, ": zero is no port"));
    }
    if (port.host_ip.empty()) {
      for (const IpAddress& address : pod_addresses) {
        published.host_ip = {.v6 = address.v6, .bytes = {}};
        published.pod_ip = address;
        resolved.push_back(published);
      }
      continue;
    }
    ASSIGN_OR_RETURN(published.host_ip, ParseAddress(port.host_ip));
    const IpAddress* pod_ip = OfFamily(pod_addresses, published.host_ip.v6);
    if (pod_ip == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("host port ", port.host_port, " on ", port.host_ip, ": the pod has no address of that family"));
    }
    published.pod_ip = *pod_ip;
    resolved.push_back(published);
  }
  return resolved;
}

const HostPortBook::Claimed* HostPortBook::Collision(const PublishedPort& port) const {
  // All claims of one protocol and port stand together, the family's "any" first among its own.
  const Key from{port.protocol, port.host_port, IpAddress{.v6 = port.host_ip.v6, .bytes = {}}};
  for (auto it = claims_.lower_bound(from); it != claims_.end(); ++it) {
    const PublishedPort& held = it->second.port;
    if (held.protocol != port.protocol || held.host_port != port.host_port || held.host_ip.v6 != port.host_ip.v6) break;
    if (held.host_ip == port.host_ip || held.host_ip.IsAny() || port.host_ip.IsAny()) return &it->second;
  }
  return nullptr;
}

absl::StatusOr<std::vector<PublishedPort>> HostPortBook::Claim(const std::string& owner,
                                                               const std::vector<PublishedPort>& ports) {
  std::vector<PublishedPort> added;
  for (const PublishedPort& port : ports) {
    const Claimed* held = Collision(port);
    if (held != nullptr) {
      const bool same = held->owner == owner && held->port.host_ip == port.host_ip &&
                        held->port.pod_ip == port.pod_ip && held->port.pod_port == port.pod_port;
      if (same) continue;
      const absl::Status taken = absl::AlreadyExistsError(absl::StrCat(
          "host port ", port.host_port, "/", ProtocolName(port.protocol),
          port.host_ip.IsAny() ? "" : absl::StrCat(" on ", port.host_ip.ToString()), " is taken by ", held->owner));
      Withdraw(owner, added);
      return taken;
    }
    claims_.emplace(KeyOf(port), Claimed{owner, port});
    added.push_back(port);
  }
  return added;
}

void HostPortBook::Withdraw(const std::string& owner, const std::vector<PublishedPort>& ports) {
  for (const PublishedPort& port : ports) {
    const auto it = claims_.find(KeyOf(port));
    if (it != claims_.end() && it->second.owner == owner) claims_.erase(it);
  }
}

std::vector<PublishedPort> HostPortBook::Release(const std::string& owner) {
  std::vector<PublishedPort> released;
  for (auto it = claims_.begin(); it != claims_.end();) {
    if (it->second.owner != owner) {
      ++it;
      continue;
    }
    released.push_back(it->second.port);
    it = claims_.erase(it);
  }
  return released;
}

void HostPortBook::Rename(const std::string& owner, const std::string& new_owner) {
  for (auto& [key, claim] : claims_) {
    if (claim.owner == owner) claim.owner = new_owner;
  }
}

std::vector<PublishedPort> HostPortBook::All() const {
  std::vector<PublishedPort> all;
  for (const auto& [key, claim] : claims_) all.push_back(claim.port);
  return all;
}

}  // namespace burstlet::sandbox
