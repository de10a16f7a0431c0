// The kernel settings of the node under which packets pass from and to pods (/proc/sys/net, ip-sysctl.rst).
//
// They belong to the network namespace of the calling thread. Nothing is put back at the end: other programs may have
// come to depend on forwarding meanwhile.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace burstlet::sandbox {

/// False when the kernel was booted without IPv6.
bool Ipv6Available();

/// Switches forwarding on. With IPv6 the interfaces that learn routes from router advertisements keep doing so,
/// which forwarding would silently end (accept_ra 1 becomes 2).
absl::Status EnableForwarding(bool v4, bool v6);

/// Lets the node reach host ports at 127.0.0.1 through this interface. The guard of NatTable keeps pods out.
absl::Status AllowLoopback(const std::string& interface);

}  // namespace burstlet::sandbox
