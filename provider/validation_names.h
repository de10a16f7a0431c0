// The formats of names, numbers and paths in the Kubernetes API, each as a function to the messages of what is wrong.
//
// Pure. An empty list: the value is fine. Sources: apimachinery pkg/util/validation/validation.go,
// pkg/api/validate/content, pkg/util/validation/ip.go; the texts are theirs, users search for them. Threads: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace burstlet::provider::validation {

using Messages = std::vector<std::string>;

/// "my-name": container, volume, host and namespace names.
Messages DnsLabel(const std::string& value);
/// "example.com": pod, secret and most object names.
Messages DnsSubdomain(const std::string& value);
/// The same with underscores: DNS search domains.
Messages DnsSubdomainWithUnderscore(const std::string& value);
/// "example.com/name", the prefix optional: keys of labels, conditions, resources.
Messages QualifiedName(const std::string& value);
Messages LabelValue(const std::string& value);
/// A port's name: at most 15 of a-z, 0-9 and inner hyphens.
Messages PortName(const std::string& value);
/// Printable ASCII without '='.
Messages EnvName(const std::string& value);
/// A key of a ConfigMap or Secret.
Messages ConfigKey(const std::string& value);
Messages HttpHeaderName(const std::string& value);
Messages IpAddress(const std::string& value);
/// No "..": of host paths and sub-paths.
Messages NoBacksteps(const std::string& path);
/// Relative and without "..".
Messages DescendingPath(const std::string& path);
/// Relative, without "..", and with no first part that the atomic writer uses for itself.
Messages LocalPath(const std::string& path);
/// "net.ipv4.ip_forward" or with slashes.
bool IsSysctlName(std::string_view name);

}  // namespace burstlet::provider::validation
