#include "provider/translate/dns.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

// pkg/apis/core/validation: what glibc and musl can take.
constexpr std::size_t kMaxNameservers = 3;
constexpr std::size_t kMaxSearches = 32;
constexpr std::size_t kMaxSearchChars = 2048;
constexpr std::size_t kMaxDomain = 253;
constexpr std::size_t kMaxHostFile = 10u << 20;

/// An option with or without a value: "ndots" and "5".
using Options = std::vector<std::pair<std::string, std::string>>;

struct DnsConfig {
  std::vector<std::string> servers;
  std::vector<std::string> searches;
  Options options;
};

void AppendUnique(std::vector<std::string>& list, const std::vector<std::string>& more) {
  for (const auto& item : more) {
    if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
  }
}

/// A repeated option takes the newest value, in its old place.
void SetOption(Options& options, const std::string& name, const std::string& value) {
  auto same = std::find_if(options.begin(), options.end(), [&](const auto& one) { return one.first == name; });
  if (same != options.end()) {
    same->second = value;
  } else {
    options.emplace_back(name, value);
  }
}

absl::StatusOr<DnsConfig> ParseResolvConf(const std::string& text) {
  if (text.size() > kMaxHostFile) return absl::InvalidArgumentError("resolv.conf of the host is larger than 10 MiB");
  DnsConfig config;
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  for (const std::string& line : lines) {
    std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t\r\v\f"), absl::SkipEmpty());
    if (words.empty() || words[0].front() == '#') continue;
    if (words[0] == "nameserver") {
      if (words.size() < 2) {
        return absl::InvalidArgumentError(
            "Encountered error while parsing resolv conf file. Error: nameserver list is empty ");
      }
      config.servers.push_back(words[1]);
    } else if (words[0] == "search") {  // the last line wins
      config.searches.clear();
      for (std::size_t i = 1; i < words.size(); ++i) {
        if (words[i] == ".") continue;
        if (words[i].back() == '.') words[i].pop_back();  // so that both spellings count once
        config.searches.push_back(words[i]);
      }
    } else if (words[0] == "options") {
      for (std::size_t i = 1; i < words.size(); ++i) {
        const std::size_t colon = words[i].find(':');
        SetOption(config.options, words[i].substr(0, colon),
                  colon == std::string::npos ? "" : words[i].substr(colon + 1));
      }
    }
  }
  return config;
}

void UseClusterDns(const kube::Pod& pod, const NodeInfo& node, DnsConfig& config) {
  config.servers = node.cluster_dns;
  config.options = {{"ndots", "5"}};
  if (node.cluster_domain.empty()) return;
  std::vector<std::string> searches;
  AppendUnique(searches, {absl::StrCat(pod.metadata.namespace_, ".svc.", node.cluster_domain),
                          absl::StrCat("svc.", node.cluster_domain), node.cluster_domain});
  AppendUnique(searches, config.searches);
  config.searches = std::move(searches);
}

/// A node without a resolv.conf: name lookups are turned off, rather than falling back to somebody's default.
void UseNoHostDns(const NodeInfo& node, DnsConfig& config) {
  for (const auto& address : node.addresses) {
    config.servers.push_back(address.find(':') != std::string::npos ? "::1" : "127.0.0.1");
  }
  if (config.servers.empty()) config.servers.push_back("127.0.0.1");
  config.searches = {"."};
}

void FitLimits(DnsConfig& config, std::vector<DnsWarning>& warnings) {
  if (config.servers.size() > kMaxNameservers) {
    config.servers.resize(kMaxNameservers);
    warnings.push_back({"DNSConfigForming",
                        absl::StrCat("Nameserver limits were exceeded, some nameservers have been omitted, the applied "
                                     "nameserver line is: ",
                                     absl::StrJoin(config.servers, " "))});
  }
  const std::size_t asked = config.searches.size();
  if (config.searches.size() > kMaxSearches) config.searches.resize(kMaxSearches);
  // glibc 2.28 aborts on longer ones.
  std::erase_if(config.searches, [](const std::string& domain) { return domain.size() > kMaxDomain; });
  while (absl::StrJoin(config.searches, " ").size() > kMaxSearchChars) config.searches.pop_back();
  if (config.searches.size() == asked) return;
  warnings.push_back({"DNSConfigForming",
                      absl::StrCat("Search Line limits were exceeded, some search paths have been omitted, the applied "
                                   "search line is: ",
                                   absl::StrJoin(config.searches, " "))});
}

DnsWarning MissingClusterDns(const kube::Pod& pod) {
  const kube::ObjectMeta& meta = pod.metadata;
  return {"MissingClusterDNS",
          absl::StrCat("pod: \"", meta.name, "_", meta.namespace_, "(", meta.uid,
                       ")\". kubelet does not have ClusterDNS IP configured and cannot create Pod using "
                       "\"ClusterFirst\" policy. Falling back to \"Default\" policy.")};
}

std::string Render(const DnsConfig& config) {
  std::string text;
  if (!config.searches.empty()) absl::StrAppend(&text, "search ", absl::StrJoin(config.searches, " "), "\n");
  for (const auto& server : config.servers) absl::StrAppend(&text, "nameserver ", server, "\n");
  if (!config.options.empty()) {
    std::vector<std::string> words;
    for (const auto& [name, value] : config.options) words.push_back(value.empty() ? name : name + ":" + value);
    absl::StrAppend(&text, "options ", absl::StrJoin(words, " "), "\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<PodDns> MakePodDns(const kube::Pod& pod, const NodeInfo& node,
                                  const std::string& host_resolv_conf_text) {
  PodDns dns;
  DnsConfig config;
  const std::string& policy = pod.spec.dnsPolicy;
  const bool from_cluster =
      policy == "ClusterFirstWithHostNet" || ((policy == "ClusterFirst" || policy.empty()) && !pod.spec.hostNetwork);
  if (policy != "None") {
    if (!node.host_resolv_conf.empty()) {
      ASSIGN_OR_RETURN(config, ParseResolvConf(host_resolv_conf_text));
    }
    if (from_cluster && node.cluster_dns.empty()) dns.warnings.push_back(MissingClusterDns(pod));
    if (from_cluster && !node.cluster_dns.empty()) {
      UseClusterDns(pod, node, config);
    } else if (node.host_resolv_conf.empty()) {  // policy Default, or no cluster DNS is known
      UseNoHostDns(node, config);
    }
  }
  if (pod.spec.dnsConfig) {
    std::vector<std::string> servers;
    AppendUnique(servers, config.servers);
    AppendUnique(servers, pod.spec.dnsConfig->nameservers);
    config.servers = std::move(servers);
    AppendUnique(config.searches, pod.spec.dnsConfig->searches);
    for (const auto& option : pod.spec.dnsConfig->options) {
      SetOption(config.options, option.name, option.value.value_or(""));
    }
  }
  FitLimits(config, dns.warnings);
  dns.resolv_conf = Render(config);
  // Runtimes give a pod without any setting the host's file as it is.
  if (dns.resolv_conf.empty()) dns.resolv_conf = host_resolv_conf_text;
  return dns;
}

absl::StatusOr<std::string> ResolvConf(const kube::Pod& pod, const NodeInfo& node,
                                       const std::string& host_resolv_conf_text) {
  ASSIGN_OR_RETURN(PodDns dns, MakePodDns(pod, node, host_resolv_conf_text));
  return dns.resolv_conf;
}

}  // namespace burstlet::provider
