#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "provider/translate/names.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

constexpr std::size_t kMaxHostname = 63;
constexpr std::size_t kMaxNodename = 64;
constexpr std::size_t kMaxSubdomain = 253;

bool IsLabel(const std::string& text, std::size_t max_size = kMaxHostname) {
  auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= max_size && alphanumeric(text.front()) && alphanumeric(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return alphanumeric(c) || c == '-'; });
}

/// Only the whole is bounded, not its labels: IsDNS1123Subdomain.
bool IsSubdomain(const std::string& text) {
  if (text.size() > kMaxSubdomain) return false;
  std::vector<std::string> labels = absl::StrSplit(text, '.');
  return std::all_of(labels.begin(), labels.end(), [](const auto& label) { return IsLabel(label, kMaxSubdomain); });
}

absl::Status NameError(const std::string& message) {
  return ReasonError(absl::StatusCode::kInvalidArgument, "CreatePodSandboxError", message);
}

absl::StatusOr<std::string> Truncated(const kube::Pod& pod, const std::string& hostname) {
  if (hostname.size() <= kMaxHostname) return hostname;
  std::string result = hostname.substr(0, kMaxHostname);
  const std::size_t last = result.find_last_not_of("-.");
  if (last == std::string::npos) {
    return NameError(absl::StrCat("hostname for pod \"", pod.metadata.name, "\" was invalid: \"", hostname, "\""));
  }
  return result.substr(0, last + 1);
}

std::string AliasLines(const kube::Pod& pod) {
  if (pod.spec.hostAliases.empty()) return "";
  std::string text = "\n# Entries added by HostAliases.\n";
  for (const auto& alias : pod.spec.hostAliases) {
    absl::StrAppend(&text, alias.ip, "\t", absl::StrJoin(alias.hostnames, "\t"), "\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<HostNames> PodHostNames(const kube::Pod& pod, const std::string& cluster_domain) {
  HostNames names;
  if (pod.spec.hostnameOverride) {
    const std::string& override = *pod.spec.hostnameOverride;
    if (!IsSubdomain(override)) {
      return NameError(absl::StrCat("pod HostnameOverride \"", override, "\" is not a valid DNS subdomain"));
    }
    ASSIGN_OR_RETURN(names.hostname, Truncated(pod, override));
    return names;
  }
  if (!pod.spec.hostname.empty() && !IsLabel(pod.spec.hostname)) {
    return NameError(absl::StrCat("pod Hostname \"", pod.spec.hostname, "\" is not a valid DNS label"));
  }
  ASSIGN_OR_RETURN(names.hostname, Truncated(pod, pod.spec.hostname.empty() ? pod.metadata.name : pod.spec.hostname));
  if (!pod.spec.subdomain.empty()) {
    if (!IsLabel(pod.spec.subdomain)) {
      return NameError(absl::StrCat("pod Subdomain \"", pod.spec.subdomain, "\" is not a valid DNS label"));
    }
    names.domain = absl::StrCat(pod.spec.subdomain, ".", pod.metadata.namespace_, ".svc.", cluster_domain);
  }
  return names;
}

absl::StatusOr<std::string> KernelHostname(const kube::Pod& pod, const NodeInfo& node) {
  if (pod.spec.hostNetwork) return node.hostname;
  ASSIGN_OR_RETURN(HostNames names, PodHostNames(pod, node.cluster_domain));
  if (names.domain.empty() || !pod.spec.setHostnameAsFQDN.value_or(false)) return names.hostname;
  const std::string fqdn = absl::StrCat(names.hostname, ".", names.domain);
  if (fqdn.size() > kMaxNodename) {
    return NameError(absl::StrCat("failed to construct FQDN from pod hostname and cluster domain, FQDN ", fqdn,
                                  " is too long (", kMaxNodename, " characters is the max, ", fqdn.size(),
                                  " characters requested)"));
  }
  return fqdn;
}

std::string HostsFile(const kube::Pod& pod, const std::vector<std::string>& pod_ips, const HostNames& names,
                      const std::string& host_hosts_file) {
  if (pod.spec.hostNetwork) {
    return absl::StrCat("# Kubernetes-managed hosts file (host network).\n", host_hosts_file, AliasLines(pod));
  }
  std::string text =
      "# Kubernetes-managed hosts file.\n"
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "fe00::0\tip6-mcastprefix\n"
      "fe00::1\tip6-allnodes\n"
      "fe00::2\tip6-allrouters\n";
  for (const auto& ip : pod_ips) {
    if (!names.domain.empty()) {
      absl::StrAppend(&text, ip, "\t", names.hostname, ".", names.domain, "\t", names.hostname, "\n");
    } else {
      absl::StrAppend(&text, ip, "\t", names.hostname, "\n");
    }
  }
  return text + AliasLines(pod);
}

}  // namespace burstlet::provider
