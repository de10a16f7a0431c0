// DNS, host names and the namespaces of the host.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/validation.h"
#include "provider/validation_names.h"

namespace burstlet::provider::validation {
namespace {

constexpr std::size_t kMostNameservers = 3;
constexpr std::size_t kMostSearches = 32;
constexpr std::size_t kLongestSearchList = 2048;
constexpr std::size_t kLongestHostname = 64;

void CheckDnsConfig(Complaints& complaints, const kube::PodDNSConfig& config) {
  const std::string path = "spec.dnsConfig";
  if (config.nameservers.size() > kMostNameservers) {
    complaints.InvalidLiteral(path + ".nameservers", QuoteList(config.nameservers),
                              absl::StrCat("must not have more than ", kMostNameservers, " nameservers"));
  }
  for (std::size_t i = 0; i < config.nameservers.size(); ++i) {
    complaints.InvalidEach(Index(path + ".nameservers", i), config.nameservers[i], IpAddress(config.nameservers[i]));
  }
  if (config.searches.size() > kMostSearches) {
    complaints.InvalidLiteral(path + ".searches", QuoteList(config.searches),
                              absl::StrCat("must not have more than ", kMostSearches, " search paths"));
  }
  if (absl::StrJoin(config.searches, " ").size() > kLongestSearchList) {
    complaints.InvalidLiteral(path + ".searches", QuoteList(config.searches),
                              absl::StrCat("must not have more than ", kLongestSearchList,
                                           " characters (including spaces) in the search list"));
  }
  for (std::size_t i = 0; i < config.searches.size(); ++i) {
    std::string search = config.searches[i];
    if (search == ".") continue;
    if (search.ends_with('.')) search.pop_back();
    complaints.InvalidEach(Index(path + ".searches", i), search, DnsSubdomainWithUnderscore(search));
  }
  for (std::size_t i = 0; i < config.options.size(); ++i) {
    if (config.options[i].name.empty()) complaints.Required(Index(path + ".options", i), "must not be empty");
  }
}

void CheckHostnameOverride(Complaints& complaints, const kube::PodSpec& spec) {
  if (!spec.hostnameOverride) return;
  const std::string path = "spec.hostnameOverride";
  if (spec.setHostnameAsFQDN.value_or(false)) {
    complaints.Forbidden(path, "may not be specified when setHostnameAsFQDN is true");
  }
  if (spec.hostNetwork) complaints.Forbidden(path, "may not be specified when hostNetwork is true");
  if (spec.hostnameOverride->size() > kLongestHostname) complaints.TooLong(path, kLongestHostname);
  complaints.InvalidEach(path, *spec.hostnameOverride, DnsSubdomain(*spec.hostnameOverride));
}

}  // namespace

void CheckDns(Complaints& complaints, const kube::PodSpec& spec) {
  complaints.OneOf("spec.dnsPolicy", spec.dnsPolicy, {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"},
                   true);
  if (spec.dnsPolicy == "None" && !spec.dnsConfig) {
    complaints.Required("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None");
  } else if (spec.dnsPolicy == "None" && spec.dnsConfig->nameservers.empty()) {
    complaints.Required("spec.dnsConfig.nameservers",
                        "must provide at least one DNS nameserver when `dnsPolicy` is None");
  } else if (spec.dnsConfig) {
    CheckDnsConfig(complaints, *spec.dnsConfig);
  }
}

void CheckHostNames(Complaints& complaints, const kube::PodSpec& spec) {
  CheckHostnameOverride(complaints, spec);
  if (!spec.hostname.empty()) complaints.InvalidEach("spec.hostname", spec.hostname, DnsLabel(spec.hostname));
  if (!spec.subdomain.empty()) complaints.InvalidEach("spec.subdomain", spec.subdomain, DnsLabel(spec.subdomain));
  for (std::size_t i = 0; i < spec.hostAliases.size(); ++i) {
    const kube::HostAlias& alias = spec.hostAliases[i];
    const std::string path = Index("spec.hostAliases", i);
    complaints.InvalidEach(path + ".ip", alias.ip, IpAddress(alias.ip));
    for (std::size_t j = 0; j < alias.hostnames.size(); ++j) {
      complaints.InvalidEach(Index(path + ".hostnames", j), alias.hostnames[j], DnsSubdomain(alias.hostnames[j]));
    }
  }
}

void CheckHostNetworkPorts(Complaints& complaints, const kube::PodSpec& spec) {
  if (!spec.hostNetwork) return;
  for (std::size_t i = 0; i < spec.containers.size(); ++i) {
    for (std::size_t j = 0; j < spec.containers[i].ports.size(); ++j) {
      const kube::ContainerPort& port = spec.containers[i].ports[j];
      if (port.hostPort == port.containerPort) continue;
      complaints.Invalid(absl::StrCat("spec.containers[", i, "].ports[", j, "].hostPort"), port.hostPort,
                         "must match `containerPort` when `hostNetwork` is true");
    }
  }
}

void CheckHostNamespaces(Complaints& complaints, const kube::PodSpec& spec) {
  if (spec.hostPID && spec.shareProcessNamespace.value_or(false)) {
    complaints.InvalidLiteral("spec.shareProcessNamespace", "true",
                              "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  if (spec.hostUsers.value_or(true)) return;
  const std::string why = "when `hostUsers` is false";
  if (spec.hostNetwork) complaints.Forbidden("spec.hostNetwork", why);
  if (spec.hostPID) complaints.Forbidden("spec.HostPID", why);
  if (spec.hostIPC) complaints.Forbidden("spec.HostIPC", why);
  const auto devices = [&](const char* list, const std::vector<kube::Container>& containers) {
    for (std::size_t i = 0; i < containers.size(); ++i) {
      if (!containers[i].volumeDevices.empty()) {
        complaints.Forbidden(absl::StrCat("spec.", list, "[", i, "].volumeDevices"), why);
      }
    }
  };
  devices("initContainers", spec.initContainers);
  devices("containers", spec.containers);
}

}  // namespace burstlet::provider::validation
