// Network namespaces for tests: a node of its own, pods, and an outside world on the node's uplink.
//
// The test's thread lives in the node's namespace while a NetLab exists. Everything vanishes with the descriptors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "sandbox/net/links.h"
#include "sandbox/net/pod_network.h"

namespace burstlet::sandbox::test {

/// A file descriptor that is closed at the end.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { Reset(); }
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  int Release();
  void Reset();

 private:
  int fd_;
};

/// Why these tests cannot run here, or nullopt.
std::optional<std::string> CannotMakeNamespaces();

/// A fresh network namespace nobody is in.
Fd NewNamespace();

class NetLab {
 public:
  static constexpr const char* kNodeIp = "203.0.113.1";
  static constexpr const char* kOutsideIp = "203.0.113.2";
  static constexpr const char* kNodeIp6 = "2001:db8:5::1";
  static constexpr const char* kOutsideIp6 = "2001:db8:5::2";

  NetLab();
  ~NetLab();
  int outside() const { return outside_.get(); }
  int node() const { return node_.get(); }

 private:
  Fd before_;
  Fd node_;
  Fd outside_;
};

/// A listening TCP (or bound UDP) socket inside a namespace.
Fd Serve(int netns, const std::string& address, std::uint16_t port, int type);
/// Connects from inside a namespace; waits at most `timeout_ms`.
absl::StatusOr<Fd> Connect(int netns, const std::string& address, std::uint16_t port, int timeout_ms = 3000);
/// Connects to a server over TCP; the address that the server saw, or what went wrong.
std::string SeenFrom(int netns, const std::string& address, std::uint16_t port, const Fd& server);
/// The same over UDP with an echo; also checks that the answer comes back.
std::string SeenFromUdp(int netns, const std::string& address, std::uint16_t port, const Fd& server);
/// The same with a client socket that is bound already, waiting at most `timeout_ms`.
std::string SeenOnUdp(const Fd& client, const std::string& address, std::uint16_t port, const Fd& server,
                      int timeout_ms = 3000);

/// Puts a hand-made IPv4 UDP packet on the wire of a pod's eth0, past the pod's own routes and checks.
bool SendForged(int netns, const MacAddress& to_mac, const std::string& source, const std::string& to,
                std::uint16_t port);

}  // namespace burstlet::sandbox::test
