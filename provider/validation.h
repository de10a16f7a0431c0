// What the checks of ValidatePod are made of: complaints in the API server's form, and the checks by part of a pod.
//
// Pure, no state. A complaint is "path: kind: value: detail" as apimachinery's field.Error prints it, so that what a
// user reads and searches for is the same with and without an API server. Each check adds what it finds and goes on.
// Source: pkg/apis/core/validation/validation.go, apimachinery pkg/util/validation/field/errors.go. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kube/api/pod.h"

namespace burstlet::provider::validation {

/// "path[2]" and "path[cpu]".
std::string Index(const std::string& path, std::size_t index);
std::string Key(const std::string& path, const std::string& key);
/// A JSON-like literal of a string, as Go's %q.
std::string Quote(const std::string& text);
/// A list of strings as JSON.
std::string QuoteList(const std::vector<std::string>& list);

/// Collects complaints in the order of the checks.
class Complaints {
 public:
  void Required(const std::string& path, const std::string& detail = "");
  void Forbidden(const std::string& path, const std::string& detail);
  void Invalid(const std::string& path, const std::string& value, const std::string& detail);
  void Invalid(const std::string& path, std::int64_t value, const std::string& detail);
  /// A value that is no string: `literal` is printed as it is.
  void InvalidLiteral(const std::string& path, const std::string& literal, const std::string& detail);
  /// One complaint for each of the messages of a check of validation_names.h.
  void InvalidEach(const std::string& path, const std::string& value, const std::vector<std::string>& details);
  void NotSupported(const std::string& path, const std::string& value, const std::vector<std::string>& supported);
  void NotFound(const std::string& path, const std::string& value, const std::string& detail = "");
  void Duplicate(const std::string& path, const std::string& value);
  void TooLong(const std::string& path, std::size_t limit);
  void TooMany(const std::string& path, std::size_t actual, std::size_t limit);

  /// NotSupported unless the value is one of these; an empty value is Required when `required`.
  void OneOf(const std::string& path, const std::string& value, const std::vector<std::string>& supported,
             bool required = false);
  void InRange(const std::string& path, std::int64_t value, std::int64_t least, std::int64_t most);
  void NotNegative(const std::string& path, std::int64_t value);

  /// Adds what another one found; true when that was anything.
  bool Append(Complaints& other);
  std::vector<std::string> Take() { return std::move(found_); }

 private:
  void Add(const std::string& path, const std::string& body, const std::string& detail);

  std::vector<std::string> found_;
};

/// The volumes of a pod that passed, by name: mounts are checked against these.
using VolumeMap = std::map<std::string, const kube::Volume*>;

// validation_volumes.cpp, validation_projections.cpp
VolumeMap CheckVolumes(Complaints& complaints, const std::vector<kube::Volume>& volumes);
void CheckProjected(Complaints& complaints, const std::string& path, const kube::ProjectedVolumeSource& source);
void CheckKeyToPath(Complaints& complaints, const std::string& path, const kube::KeyToPath& item);
void CheckDownwardFile(Complaints& complaints, const std::string& path, const kube::DownwardAPIVolumeFile& file);
void CheckUser(Complaints& complaints, const std::string& path, const std::optional<std::int64_t>& user);
void CheckFileMode(Complaints& complaints, const std::string& path, const std::optional<std::int32_t>& mode);
void CheckVolumeMounts(Complaints& complaints, const std::string& path, const kube::Container& container,
                       const VolumeMap& volumes);
void CheckVolumeDevices(Complaints& complaints, const std::string& path, const kube::Container& container,
                        const VolumeMap& volumes);

// validation_env.cpp
void CheckEnv(Complaints& complaints, const std::string& path, const std::vector<kube::EnvVar>& env);
void CheckEnvFrom(Complaints& complaints, const std::string& path, const std::vector<kube::EnvFromSource>& sources);
/// `fields`: the plain field paths that may be asked for; labels and annotations by key always may.
void CheckFieldRef(Complaints& complaints, const std::string& path, const kube::ObjectFieldSelector& selector,
                   const std::vector<std::string>& fields);
void CheckResourceFieldRef(Complaints& complaints, const std::string& path, const kube::ResourceFieldSelector& selector,
                           bool needs_container);
/// References of env to files name an emptyDir of the pod.
void CheckEnvFileVolumes(Complaints& complaints, const kube::PodSpec& spec);

// validation_handlers.cpp
void CheckLifecycle(Complaints& complaints, const std::string& path, const kube::Lifecycle& lifecycle,
                    const kube::PodSpec& spec);
enum class ProbeKind { kLiveness, kReadiness, kStartup };
void CheckProbe(Complaints& complaints, const std::string& path, const kube::Probe& probe, ProbeKind kind,
                const kube::PodSpec& spec);

// validation_resources.cpp
void CheckResources(Complaints& complaints, const std::string& path, const kube::ResourceRequirements& resources,
                    const kube::PodSpec& spec);
/// spec.resources: which may be set, and against the sum of the containers.
void CheckPodResources(Complaints& complaints, const kube::PodSpec& spec);
void CheckOverhead(Complaints& complaints, const kube::PodSpec& spec);

// validation_security.cpp
void CheckSecurityContext(Complaints& complaints, const std::string& path, const kube::SecurityContext& context,
                          const kube::PodSpec& spec);
void CheckPodSecurityContext(Complaints& complaints, const kube::PodSpec& spec);
/// The annotations that AppArmor profiles were once named by.
void CheckAppArmorAnnotations(Complaints& complaints, const kube::Pod& pod);

// validation_affinity.cpp
void CheckNodeAffinity(Complaints& complaints, const kube::PodSpec& spec);

// validation_containers.cpp
void CheckContainers(Complaints& complaints, const kube::PodSpec& spec, const VolumeMap& volumes);
void CheckPullPolicy(Complaints& complaints, const std::string& path, const std::string& policy);

// validation_network.cpp
void CheckDns(Complaints& complaints, const kube::PodSpec& spec);
void CheckHostNames(Complaints& complaints, const kube::PodSpec& spec);
void CheckHostNetworkPorts(Complaints& complaints, const kube::PodSpec& spec);
/// Host namespaces that exclude each other or a user namespace.
void CheckHostNamespaces(Complaints& complaints, const kube::PodSpec& spec);

}  // namespace burstlet::provider::validation
