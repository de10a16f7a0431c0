// What must hold of a configuration's values wherever they come from, before anything is started with them.
#include <algorithm>
#include <cctype>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cache/url.h"
#include "kube/api/quantity.h"
#include "metrics/status.h"
#include "provider/config.h"
#include "provider/validation_names.h"
#include "sandbox/net/address.h"

namespace burstlet::provider {
namespace {

absl::Status Wrong(const std::string& field, const std::string& value, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": \"", value, "\": ", why));
}

absl::Status CheckAddresses(const Config& config) {
  for (const std::string& address : config.node_ips) {
    if (!sandbox::ParseAddress(address).ok()) return Wrong("--node-ip", address, "is no IP address");
  }
  for (const std::string& address : config.cluster_dns) {
    if (!sandbox::ParseAddress(address).ok()) return Wrong("clusterDNS", address, "is no IP address");
  }
  if (!sandbox::ParseAddress(config.address).ok()) return Wrong("address", config.address, "is no IP address");
  for (const std::string& cidr : config.pod_cidrs) {
    if (!sandbox::ParseCidr(cidr).ok()) return Wrong("podCIDR", cidr, "is no address range like 10.88.0.0/16");
  }
  return absl::OkStatus();
}

absl::Status CheckCni(const Config& config) {
  if (!config.cni_conf_dir.starts_with('/')) return Wrong("cniConfDir", config.cni_conf_dir, "is no absolute path");
  for (const std::string& directory : config.cni_bin_dirs) {
    if (!directory.starts_with('/')) return Wrong("cniBinDir", directory, "is no absolute path");
  }
  return absl::OkStatus();
}

absl::Status CheckReservations(const std::string& field, const std::map<std::string, std::string>& reserved) {
  for (const auto& [resource, amount] : reserved) {
    const auto quantity = kube::ParseQuantity(amount);
    if (!quantity.ok() || kube::CompareQuantity(*quantity, kube::Quantity{"0"}) < 0) {
      return Wrong(absl::StrCat(field, "[", resource, "]"), amount, "is no quantity of zero or more");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLabels(const std::map<std::string, std::string>& labels) {
  for (const auto& [key, value] : labels) {
    const auto key_wrong = validation::QualifiedName(key);
    if (!key_wrong.empty()) return Wrong("nodeLabels", key, key_wrong.front());
    const auto value_wrong = validation::LabelValue(value);
    if (!value_wrong.empty()) return Wrong(absl::StrCat("nodeLabels[", key, "]"), value, value_wrong.front());
  }
  return absl::OkStatus();
}

/// A name is a token (RFC 9110 5.6.2), a value has no line of its own.
absl::Status CheckStaticPodUrl(const Config& config) {
  const auto token = [](unsigned char c) {
    return std::isalnum(c) != 0 || std::strchr("!#$%&'*+-.^_`|~", c) != nullptr;
  };
  const auto control = [](unsigned char c) { return (c < ' ' && c != '\t') || c == 0x7f; };
  for (const auto& [name, value] : config.static_pod_url_headers) {
    if (name.empty() || !std::all_of(name.begin(), name.end(), token)) {
      return Wrong("staticPodURLHeader", name, "is no name of a header");
    }
    if (std::any_of(value.begin(), value.end(), control)) {
      return absl::InvalidArgumentError(
          absl::StrCat("staticPodURLHeader.", name, ": control characters are not allowed"));
    }
  }
  if (config.static_pod_url.empty()) return absl::OkStatus();
  const auto url = cache::ParseUrl(config.static_pod_url);
  return url.ok() ? absl::OkStatus()
                  : Wrong("staticPodURL", config.static_pod_url, std::string(url.status().message()));
}

/// kubelet/apis/config/validation.
absl::Status CheckImages(const Config& config) {
  if (config.image_gc_low_threshold_percent >= config.image_gc_high_threshold_percent) {
    return Wrong(
        "imageGCLowThresholdPercent", absl::StrCat(config.image_gc_low_threshold_percent),
        absl::StrCat("must be less than imageGCHighThresholdPercent, ", config.image_gc_high_threshold_percent));
  }
  const bool by_age = config.image_maximum_gc_age.count() > 0;
  if (by_age && config.image_maximum_gc_age <= config.image_minimum_gc_age) {
    return Wrong("imageMaximumGCAge", absl::StrCat(config.image_maximum_gc_age.count(), "s"),
                 absl::StrCat("must be more than imageMinimumGCAge, ", config.image_minimum_gc_age.count(), "s"));
  }
  if (config.image_scrub_bytes_per_second < 1) {
    return Wrong("imageLayers.scrubBytesPerSecond", absl::StrCat(config.image_scrub_bytes_per_second),
                 "must be at least 1");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckConfigValues(const Config& config) {
  RETURN_IF_ERROR(CheckAddresses(config));
  RETURN_IF_ERROR(CheckCni(config));
  RETURN_IF_ERROR(CheckReservations("systemReserved", config.system_reserved));
  RETURN_IF_ERROR(CheckReservations("kubeReserved", config.kube_reserved));
  RETURN_IF_ERROR(CheckLabels(config.node_labels));
  RETURN_IF_ERROR(CheckStaticPodUrl(config));
  RETURN_IF_ERROR(CheckImages(config));
  const std::string& collector = config.tracing_endpoint;
  if (!collector.empty() && !absl::StartsWith(collector, "http://") && !absl::StartsWith(collector, "https://")) {
    return Wrong("tracing.endpoint", collector, "is no URL like http://127.0.0.1:4318");
  }
  if (!config.resolv_conf.empty() && config.resolv_conf[0] != '/') {
    return Wrong("resolvConf", config.resolv_conf, "an absolute path is needed");
  }
  return absl::OkStatus();
}

}  // namespace burstlet::provider
