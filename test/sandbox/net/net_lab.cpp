#include "test/sandbox/net/net_lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <utility>

#include "metrics/status.h"
#include "sandbox/net/links.h"
#include "sandbox/net/netns.h"

namespace burstlet::sandbox::test {
namespace {

constexpr const char* kOwnNamespace = "/proc/thread-self/ns/net";

void Must(const absl::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress MakeAddress(const std::string& text, std::uint16_t port) {
  SocketAddress address;
  const IpAddress ip = ParseAddress(text).value();
  if (ip.v6) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    std::memcpy(&v6->sin6_addr, ip.bytes.data(), 16);
    address.size = sizeof(sockaddr_in6);
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    std::memcpy(&v4->sin_addr, ip.bytes.data(), 4);
    address.size = sizeof(sockaddr_in);
  }
  return address;
}

std::string TextOf(const sockaddr_storage& storage) {
  IpAddress ip{.v6 = storage.ss_family == AF_INET6, .bytes = {}};
  const void* from = ip.v6 ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr)
                           : static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(storage).sin_addr);
  std::memcpy(ip.bytes.data(), from, ip.size());
  return ip.ToString();
}

/// True when something happens on the descriptor in time.
bool Wait(int fd, short events, int timeout_ms) {
  pollfd entry{.fd = fd, .events = events, .revents = 0};
  return poll(&entry, 1, timeout_ms) == 1;
}

Fd Socket(int netns, const std::string& address, int type) {
  Fd fd;
  Must(RunInNetworkNamespace(netns, [&] {
    fd = Fd(socket(ParseAddress(address).value().family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return fd.ok() ? absl::OkStatus() : ErrnoError(errno, "socket");
  }));
  return fd;
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = other.Release();
  }
  return *this;
}

int Fd::Release() { return std::exchange(fd_, -1); }

void Fd::Reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

std::optional<std::string> CannotMakeNamespaces() {
  if (geteuid() != 0) return "needs root to make network namespaces";
  return std::nullopt;
}

Fd NewNamespace() {
  Fd fd;
  std::thread([&fd] {
    if (unshare(CLONE_NEWNET) == 0) fd = Fd(open(kOwnNamespace, O_RDONLY | O_CLOEXEC));
  }).join();
  if (!fd.ok()) throw std::runtime_error("no network namespace");
  return fd;
}

NetLab::NetLab() : before_(open(kOwnNamespace, O_RDONLY | O_CLOEXEC)), node_(NewNamespace()), outside_(NewNamespace()) {
  if (!before_.ok() || setns(node_.get(), CLONE_NEWNET) != 0) throw std::runtime_error("no network namespace");
  Links links = Links::Open().value();
  // lo of the node, then an uplink that has the shape of a pod's wire.
  Must(links.ConfigurePodEnd(
      {.name = "lo", .addresses = {}, .gateways = {}, .gateway_mac = {}, .ipv6_available = false}));
  const VethSpec uplink{.host_name = "uplink",
                        .pod_name = "eth0",
                        .netns_fd = outside_.get(),
                        .host_mac = {2, 0, 0, 0, 0, 1},
                        .pod_mac = {2, 0, 0, 0, 0, 2},
                        .mtu = 1400};
  const std::uint32_t index = links.CreateVeth(uplink, true).value();
  const std::vector<IpAddress> node_ips{ParseAddress(kNodeIp).value(), ParseAddress(kNodeIp6).value()};
  const std::vector<IpAddress> outside_ips{ParseAddress(kOutsideIp).value(), ParseAddress(kOutsideIp6).value()};
  for (const IpAddress& address : node_ips) Must(links.AddAddress(index, address));
  Must(RunInNetworkNamespace(outside_.get(), [&] {
    return Links::Open().value().ConfigurePodEnd({.name = "eth0",
                                                  .addresses = outside_ips,
                                                  .gateways = node_ips,
                                                  .gateway_mac = uplink.host_mac,
                                                  .ipv6_available = true});
  }));
  Must(links.RouteToPod(index, outside_ips, node_ips, uplink.pod_mac));
}

NetLab::~NetLab() {
  if (setns(before_.get(), CLONE_NEWNET) != 0) std::abort();
}

Fd Serve(int netns, const std::string& address, std::uint16_t port, int type) {
  Fd fd = Socket(netns, address, type);
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  SocketAddress at = MakeAddress(address, port);
  if (bind(fd.get(), at.get(), at.size) != 0) throw std::runtime_error(std::string("bind: ") + strerror(errno));
  if (type == SOCK_STREAM && listen(fd.get(), 16) != 0) throw std::runtime_error("listen");
  return fd;
}

absl::StatusOr<Fd> Connect(int netns, const std::string& address, std::uint16_t port, int timeout_ms) {
  Fd fd = Socket(netns, address, SOCK_STREAM);
  SocketAddress to = MakeAddress(address, port);
  if (connect(fd.get(), to.get(), to.size) != 0 && errno != EINPROGRESS) return ErrnoError(errno, "connect");
  if (!Wait(fd.get(), POLLOUT, timeout_ms)) return absl::DeadlineExceededError("connect: no answer");
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return ErrnoError(error, "connect");
  return fd;
}

std::string SeenFrom(int netns, const std::string& address, std::uint16_t port, const Fd& server) {
  const absl::StatusOr<Fd> client = Connect(netns, address, port);
  if (!client.ok()) return std::string(client.status().message());
  if (!Wait(server.get(), POLLIN, 3000)) return "the connection went elsewhere";
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  const Fd accepted(accept4(server.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC));
  if (!accepted.ok()) return "accept failed";
  char byte = 'x';
  if (write(accepted.get(), &byte, 1) != 1 || !Wait(client->get(), POLLIN, 3000)) return "no data came back";
  return TextOf(peer);
}

std::string SeenFromUdp(int netns, const std::string& address, std::uint16_t port, const Fd& server) {
  return SeenOnUdp(Socket(netns, address, SOCK_DGRAM), address, port, server);
}

std::string SeenOnUdp(const Fd& client, const std::string& address, std::uint16_t port, const Fd& server,
                      int timeout_ms) {
  SocketAddress to = MakeAddress(address, port);
  char byte = 'x';
  if (sendto(client.get(), &byte, 1, 0, to.get(), to.size) != 1) return strerror(errno);
  if (!Wait(server.get(), POLLIN, timeout_ms)) return "nothing arrived";
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (recvfrom(server.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&peer), &size) != 1) return "recvfrom failed";
  if (sendto(server.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&peer), size) != 1) return "sendto failed";
  if (!Wait(client.get(), POLLIN, timeout_ms)) return "no answer came back";
  sockaddr_storage from{};
  size = sizeof from;
  if (recvfrom(client.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &size) != 1) return "recvfrom failed";
  if (TextOf(from) != address) return "the answer came from " + TextOf(from);
  return TextOf(peer);
}

bool SendForged(int netns, const MacAddress& to_mac, const std::string& source, const std::string& to,
                std::uint16_t port) {
  struct {
    iphdr ip;
    udphdr udp;
    char payload[4];
  } packet{};
  packet.ip.version = 4;
  packet.ip.ihl = 5;
  packet.ip.tot_len = htons(sizeof packet);
  packet.ip.ttl = 64;
  packet.ip.protocol = IPPROTO_UDP;
  inet_pton(AF_INET, source.c_str(), &packet.ip.saddr);
  inet_pton(AF_INET, to.c_str(), &packet.ip.daddr);
  std::uint32_t sum = 0;
  std::uint16_t words[sizeof(iphdr) / 2];
  std::memcpy(words, &packet.ip, sizeof words);
  for (const std::uint16_t word : words) sum += word;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  packet.ip.check = static_cast<std::uint16_t>(~sum);
  packet.udp.source = htons(4242);
  packet.udp.dest = htons(port);
  packet.udp.len = htons(sizeof packet - sizeof(iphdr));  // a checksum of zero means none
  return RunInNetworkNamespace(netns,
                               [&] {
                                 const Fd fd(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
                                 sockaddr_ll wire{};
                                 wire.sll_family = AF_PACKET;
                                 wire.sll_protocol = htons(ETH_P_IP);
                                 wire.sll_ifindex = static_cast<int>(Links::Open()->Find("eth0").value()->index);
                                 wire.sll_halen = 6;
                                 std::memcpy(wire.sll_addr, to_mac.data(), to_mac.size());
                                 const ssize_t sent = sendto(fd.get(), &packet, sizeof packet, 0,
                                                             reinterpret_cast<sockaddr*>(&wire), sizeof wire);
                                 return sent == sizeof packet ? absl::OkStatus() : ErrnoError(errno, "sendto");
                               })
      .ok();
}

}  // namespace burstlet::sandbox::test
