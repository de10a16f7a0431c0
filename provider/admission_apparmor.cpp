// Can this node enforce the AppArmor profiles a pod asks for? Source: pkg/security/apparmor/{validate,helpers}.go.
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "provider/admission_checks.h"

namespace burstlet::provider {
namespace {

constexpr const char* kAnnotation = "container.apparmor.security.beta.kubernetes.io/";

using Profile = std::optional<kube::AppArmorProfile>;

bool Confines(const Profile& profile) { return profile && profile->type != "Unconfined"; }

/// Of all containers: those that start first, the ordinary ones, and what is added by `kubectl debug`.
std::vector<Profile> ContainerProfiles(const kube::Pod& pod) {
  std::vector<Profile> profiles;
  auto add = [&](const auto& list) {
    for (const auto& container : list)
      profiles.push_back(container.securityContext ? container.securityContext->appArmorProfile : std::nullopt);
  };
  add(pod.spec.initContainers);
  add(pod.spec.containers);
  add(pod.spec.ephemeralContainers);
  return profiles;
}

}  // namespace

std::optional<Refusal> CheckAppArmor(const kube::Pod& pod, bool enabled) {
  std::vector<Profile> profiles = ContainerProfiles(pod);
  if (pod.spec.securityContext) profiles.push_back(pod.spec.securityContext->appArmorProfile);
  bool required = false;
  for (const Profile& profile : profiles) required = required || Confines(profile);
  // Pods from before the fields, and static ones, name profiles in annotations only.
  for (const auto& [key, value] : pod.metadata.annotations)
    required = required || (key.rfind(kAnnotation, 0) == 0 && value != "unconfined");
  if (!required) return std::nullopt;
  const std::string cannot = "Cannot enforce AppArmor: ";
  if (!enabled) return Refusal{"AppArmor", absl::StrCat(cannot, "AppArmor is not enabled on the host")};
  for (const Profile& profile : profiles) {
    if (!profile || profile->type != "Localhost") continue;
    if (absl::StripAsciiWhitespace(profile->localhostProfile.value_or("")).empty())
      return Refusal{"AppArmor", absl::StrCat(cannot, "invalid empty AppArmor profile name: localhostProfile")};
  }
  return std::nullopt;
}

}  // namespace burstlet::provider
