#include "provider/supported_fields.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace burstlet::provider {
namespace {

constexpr bool kDone = true;
constexpr bool kRefused = false;

constexpr char kAlpha[] = "refused: an alpha feature";
constexpr char kLaterDrivers[] = "refused until storage drivers are built";
constexpr char kGone[] = "refused: Kubernetes itself has dropped this volume type";
constexpr char kNotLinux[] = "refused: a Linux node";
constexpr char kNoSelinux[] = "without effect, as on any host without SELinux";
constexpr char kLaterDra[] = "refused until dynamic resource allocation is built";
constexpr char kScheduler[] = "read by the scheduler";
constexpr char kControlPlane[] = "read by the control plane";
constexpr char kLaterOwner[] = "refused: per-file owners are an alpha feature";

struct Row {
  const char* path;
  bool supported;
  const char* note;
};

constexpr Row kPodRows[] = {
    {"activeDeadlineSeconds", kDone, "ends the pod, DeadlineExceeded"},
    {"affinity", kDone, "by the scheduler; required node affinity is checked again at admission"},
    {"automountServiceAccountToken", kDone, "by the API server, as a projected volume"},
    {"dnsConfig", kDone, "written to /etc/resolv.conf"},
    {"dnsPolicy", kDone, "written to /etc/resolv.conf"},
    {"enableServiceLinks", kDone, "environment of the namespace's services"},
    {"evictionResponders", kDone, kControlPlane},
    {"hostAliases", kDone, "written to /etc/hosts"},
    {"hostIPC", kDone, ""},
    {"hostNetwork", kDone, ""},
    {"hostPID", kDone, ""},
    {"hostUsers", kDone, "false: user namespaces, idmapped volumes; Linux 6.3 or newer"},
    {"hostname", kDone, ""},
    {"hostnameOverride", kDone, ""},
    {"imagePullSecrets", kDone, ""},
    {"nodeName", kDone, "checked at admission"},
    {"nodeSelector", kDone, "by the scheduler, checked again at admission"},
    {"os.name", kDone, "only linux is admitted"},
    {"overhead", kDone, "counted at admission and in the pod's cgroup"},
    {"preemptionPolicy", kDone, kScheduler},
    {"priority", kDone, kScheduler},
    {"priorityClassName", kDone, kScheduler},
    {"readinessGates", kDone, "part of condition Ready"},
    {"resourceClaims", kRefused, kLaterDra},
    {"resources.claims", kRefused, kLaterDra},
    {"resources.limits", kDone, "the pod's cgroup"},
    {"resources.requests", kDone, "the pod's cgroup, admission"},
    {"restartPolicy", kDone, "with the kubelet's back-off"},
    {"runtimeClassName", kDone, "a handler of this node, else UnknownRuntimeHandler"},
    {"schedulerName", kDone, kScheduler},
    {"schedulingGates", kDone, kScheduler},
    {"schedulingGroup", kDone, kScheduler},
    {"securityContext.appArmorProfile.localhostProfile", kDone, "a profile that is loaded"},
    {"securityContext.appArmorProfile.type", kDone, "where the kernel has AppArmor, else refused: AppArmor"},
    {"securityContext.fsGroup", kDone, "a supplementary group of all processes, the group of volumes"},
    {"securityContext.fsGroupChangePolicy", kDone, "volumes of this node are made with their group"},
    {"securityContext.runAsGroup", kDone, ""},
    {"securityContext.runAsNonRoot", kDone, "CreateContainerConfigError when violated"},
    {"securityContext.runAsUser", kDone, ""},
    {"securityContext.seLinuxChangePolicy", kDone, kNoSelinux},
    {"securityContext.seLinuxOptions", kDone, kNoSelinux},
    {"securityContext.seccompProfile.localhostProfile", kDone, "a file below ROOT-DIR/seccomp"},
    {"securityContext.seccompProfile.type", kDone, ""},
    {"securityContext.supplementalGroups", kDone, ""},
    {"securityContext.supplementalGroupsPolicy", kDone, "Merge and Strict"},
    {"securityContext.sysctls", kDone, "the safe ones and allowedUnsafeSysctls, else SysctlForbidden"},
    {"securityContext.windowsOptions", kRefused, kNotLinux},
    {"serviceAccount", kDone, "by the API server"},
    {"serviceAccountName", kDone, "tokens by TokenRequest"},
    {"setHostnameAsFQDN", kDone, ""},
    {"shareProcessNamespace", kDone, ""},
    {"subdomain", kDone, ""},
    {"terminationGracePeriodSeconds", kDone, ""},
    {"tolerations", kDone, "by the scheduler; NoExecute is checked again at admission"},
    {"topologySpreadConstraints", kDone, kScheduler},
};

constexpr Row kVolumeRows[] = {
    {"awsElasticBlockStore", kRefused, kLaterDrivers},
    {"azureDisk", kRefused, kLaterDrivers},
    {"azureFile", kRefused, kLaterDrivers},
    {"cephfs", kRefused, kGone},
    {"cinder", kRefused, kLaterDrivers},
    {"configMap.defaultMode", kDone, ""},
    {"configMap.defaultUser", kRefused, kLaterOwner},
    {"configMap.items[].key", kDone, ""},
    {"configMap.items[].mode", kDone, ""},
    {"configMap.items[].path", kDone, ""},
    {"configMap.items[].user", kRefused, kLaterOwner},
    {"configMap.name", kDone, "updates reach the volume"},
    {"configMap.optional", kDone, ""},
    {"csi", kRefused, kLaterDrivers},
    {"downwardAPI.defaultMode", kDone, ""},
    {"downwardAPI.defaultUser", kRefused, kLaterOwner},
    {"downwardAPI.items[].fieldRef", kDone, "updates reach the volume"},
    {"downwardAPI.items[].mode", kDone, ""},
    {"downwardAPI.items[].path", kDone, ""},
    {"downwardAPI.items[].resourceFieldRef", kDone, ""},
    {"downwardAPI.items[].user", kRefused, kLaterOwner},
    {"emptyDir.medium", kDone, "disk, Memory, HugePages, HugePages-<size>"},
    {"emptyDir.mode", kRefused, "refused: an alpha feature"},
    {"emptyDir.sizeLimit", kDone, "size of a Memory volume; on disk a pod above it is evicted"},
    {"ephemeral", kRefused, kLaterDrivers},
    {"fc", kRefused, kLaterDrivers},
    {"flexVolume", kRefused, kLaterDrivers},
    {"flocker", kRefused, kGone},
    {"gcePersistentDisk", kRefused, kLaterDrivers},
    {"gitRepo", kRefused, kGone},
    {"glusterfs", kRefused, kGone},
    {"hostPath.path", kDone, ""},
    {"hostPath.type", kDone, ""},
    {"image.pullPolicy", kDone, ""},
    {"image.reference", kDone, "read-only, a directory of it by subPath"},
    {"iscsi", kRefused, kLaterDrivers},
    {"name", kDone, ""},
    {"nfs", kRefused, kLaterDrivers},
    {"persistentVolumeClaim", kRefused, kLaterDrivers},
    {"photonPersistentDisk", kRefused, kGone},
    {"portworxVolume", kRefused, kLaterDrivers},
    {"projected.defaultMode", kDone, ""},
    {"projected.defaultUser", kRefused, kLaterOwner},
    {"projected.sources[].clusterTrustBundle.labelSelector", kDone, "updates reach the volume"},
    {"projected.sources[].clusterTrustBundle.name", kDone, "updates reach the volume"},
    {"projected.sources[].clusterTrustBundle.optional", kDone, ""},
    {"projected.sources[].clusterTrustBundle.path", kDone, ""},
    {"projected.sources[].clusterTrustBundle.signerName", kDone, ""},
    {"projected.sources[].clusterTrustBundle.user", kRefused, kLaterOwner},
    {"projected.sources[].configMap.items[].key", kDone, ""},
    {"projected.sources[].configMap.items[].mode", kDone, ""},
    {"projected.sources[].configMap.items[].path", kDone, ""},
    {"projected.sources[].configMap.items[].user", kRefused, kLaterOwner},
    {"projected.sources[].configMap.name", kDone, ""},
    {"projected.sources[].configMap.optional", kDone, ""},
    {"projected.sources[].downwardAPI.items[].fieldRef", kDone, ""},
    {"projected.sources[].downwardAPI.items[].mode", kDone, ""},
    {"projected.sources[].downwardAPI.items[].path", kDone, ""},
    {"projected.sources[].downwardAPI.items[].resourceFieldRef", kDone, ""},
    {"projected.sources[].downwardAPI.items[].user", kRefused, kLaterOwner},
    {"projected.sources[].podCertificate.certificateChainPath", kDone, ""},
    {"projected.sources[].podCertificate.credentialBundlePath", kDone, ""},
    {"projected.sources[].podCertificate.keyPath", kDone, ""},
    {"projected.sources[].podCertificate.keyType", kDone, ""},
    {"projected.sources[].podCertificate.maxExpirationSeconds", kDone, "renewed when the signer says so"},
    {"projected.sources[].podCertificate.signerName", kDone, ""},
    {"projected.sources[].podCertificate.user", kRefused, kLaterOwner},
    {"projected.sources[].podCertificate.userAnnotations", kDone, ""},
    {"projected.sources[].secret.items[].key", kDone, ""},
    {"projected.sources[].secret.items[].mode", kDone, ""},
    {"projected.sources[].secret.items[].path", kDone, ""},
    {"projected.sources[].secret.items[].user", kRefused, kLaterOwner},
    {"projected.sources[].secret.name", kDone, ""},
    {"projected.sources[].secret.optional", kDone, ""},
    {"projected.sources[].serviceAccountToken.audience", kDone, ""},
    {"projected.sources[].serviceAccountToken.expirationSeconds", kDone, "rotated at 80 % of its life"},
    {"projected.sources[].serviceAccountToken.path", kDone, ""},
    {"projected.sources[].serviceAccountToken.user", kRefused, kLaterOwner},
    {"quobyte", kRefused, kGone},
    {"rbd", kRefused, kGone},
    {"scaleIO", kRefused, kGone},
    {"secret.defaultMode", kDone, ""},
    {"secret.defaultUser", kRefused, kLaterOwner},
    {"secret.items[].key", kDone, ""},
    {"secret.items[].mode", kDone, ""},
    {"secret.items[].path", kDone, ""},
    {"secret.items[].user", kRefused, kLaterOwner},
    {"secret.optional", kDone, ""},
    {"secret.secretName", kDone, "updates reach the volume"},
    {"storageos", kRefused, kGone},
    {"vsphereVolume", kRefused, kLaterDrivers},
};

// A probe's rows.
#define BURSTLET_PROBE_ROWS(probe)                                                                                    \
  {probe ".exec", kDone, ""}, {probe ".failureThreshold", kDone, ""}, {probe ".grpc", kDone, "without TLS"},          \
      {probe ".httpGet.host", kDone, ""}, {probe ".httpGet.httpHeaders", kDone, ""},                                  \
      {probe ".httpGet.path", kDone, ""}, {probe ".httpGet.port", kDone, ""}, {probe ".httpGet.protocol", kDone, ""}, \
      {probe ".httpGet.scheme", kDone, "HTTPS without verification"}, {probe ".initialDelaySeconds", kDone, ""},      \
      {probe ".periodSeconds", kDone, ""}, {probe ".successThreshold", kDone, ""}, {probe ".tcpSocket", kDone, ""},   \
      {probe ".terminationGracePeriodSeconds", kDone, ""}, {probe ".timeoutSeconds", kDone, ""}

// A hook's rows.
#define BURSTLET_HOOK_ROWS(hook)                                                                                   \
  {hook ".exec", kDone, ""}, {hook ".httpGet.host", kDone, ""}, {hook ".httpGet.httpHeaders", kDone, ""},          \
      {hook ".httpGet.path", kDone, ""}, {hook ".httpGet.port", kDone, ""}, {hook ".httpGet.protocol", kDone, ""}, \
      {hook ".httpGet.scheme", kDone, ""}, {hook ".sleep", kDone, ""},                                             \
      {hook ".tcpSocket", kDone, "fails, as everywhere: deprecated"}

// Rows of containers[] and initContainers[] alike.
constexpr Row kContainerRows[] = {
    {"args", kDone, ""},
    {"command", kDone, ""},
    {"env[].name", kDone, ""},
    {"env[].value", kDone, "with $(VAR)"},
    {"env[].valueFrom.configMapKeyRef", kDone, ""},
    {"env[].valueFrom.fieldRef", kDone, ""},
    {"env[].valueFrom.fileKeyRef", kDone, "files that init containers wrote into an emptyDir"},
    {"env[].valueFrom.resourceFieldRef", kDone, ""},
    {"env[].valueFrom.secretKeyRef", kDone, ""},
    {"envFrom", kDone, ""},
    {"image", kDone, ""},
    {"imagePullPolicy", kDone, ""},
    BURSTLET_HOOK_ROWS("lifecycle.postStart"),
    BURSTLET_HOOK_ROWS("lifecycle.preStop"),
    {"lifecycle.stopSignal", kDone, ""},
    BURSTLET_PROBE_ROWS("livenessProbe"),
    {"name", kDone, ""},
    {"ports[].containerPort", kDone, "informative, as everywhere"},
    {"ports[].hostIP", kDone, ""},
    {"ports[].hostPort", kDone, "nftables; a conflict is refused as NodePorts"},
    {"ports[].name", kDone, ""},
    {"ports[].protocol", kDone, ""},
    BURSTLET_PROBE_ROWS("readinessProbe"),
    {"resizePolicy", kDone, "in-place resize of CPU and memory"},
    {"resources.claims", kRefused, kLaterDra},
    {"resources.limits", kDone, "cgroup limits"},
    {"resources.requests", kDone, "cgroup weights, admission"},
    {"restartPolicy", kDone, ""},
    {"restartPolicyRules", kDone, ""},
    {"securityContext.allowPrivilegeEscalation", kDone, "no_new_privs"},
    {"securityContext.appArmorProfile.localhostProfile", kDone, "a profile that is loaded"},
    {"securityContext.appArmorProfile.type", kDone, "where the kernel has AppArmor, else refused: AppArmor"},
    {"securityContext.capabilities", kDone, ""},
    {"securityContext.privileged", kDone, ""},
    {"securityContext.procMount", kDone, "Unmasked with hostUsers: false, as everywhere"},
    {"securityContext.readOnlyRootFilesystem", kDone, ""},
    {"securityContext.runAsGroup", kDone, ""},
    {"securityContext.runAsNonRoot", kDone, ""},
    {"securityContext.runAsUser", kDone, ""},
    {"securityContext.seLinuxOptions", kDone, kNoSelinux},
    {"securityContext.seccompProfile.localhostProfile", kDone, "a file below ROOT-DIR/seccomp"},
    {"securityContext.seccompProfile.type", kDone, ""},
    {"securityContext.windowsOptions", kRefused, kNotLinux},
    BURSTLET_PROBE_ROWS("startupProbe"),
    {"stdin", kDone, ""},
    {"stdinOnce", kDone, ""},
    {"terminationMessagePath", kDone, ""},
    {"terminationMessagePolicy", kDone, ""},
    {"tty", kDone, ""},
    {"volumeDevices", kRefused, kLaterDrivers},
    {"volumeMounts[].bindMountOptions", kRefused, "refused: an alpha feature"},
    {"volumeMounts[].mountPath", kDone, ""},
    {"volumeMounts[].mountPropagation", kDone, ""},
    {"volumeMounts[].name", kDone, ""},
    {"volumeMounts[].readOnly", kDone, ""},
    {"volumeMounts[].recursiveReadOnly", kDone, ""},
    {"volumeMounts[].subPath", kDone, ""},
    {"volumeMounts[].subPathExpr", kDone, ""},
    {"workingDir", kDone, ""},
};

// What an API server lets nobody set in ephemeral containers (validation.go, allowedEphemeralContainerFields).
constexpr char kNeverThere[] = "never there: the API server forbids it";
constexpr const char* kNotEphemeral[] = {"lifecycle",      "livenessProbe",      "ports",
                                         "readinessProbe", "resizePolicy",       "resources",
                                         "restartPolicy",  "restartPolicyRules", "startupProbe"};

// Values of supported fields that are refused all the same. "C" stands for the three lists of containers.
constexpr struct {
  const char* path;
  const char* value;
  const char* note;
} kRefusedValues[] = {
    {"spec.C[].lifecycle.postStart.httpGet.protocol", "HTTP2", kAlpha},
    {"spec.C[].lifecycle.preStop.httpGet.protocol", "HTTP2", kAlpha},
    {"spec.C[].livenessProbe.grpc.mode", "TLS", kAlpha},
    {"spec.C[].livenessProbe.httpGet.protocol", "HTTP2", kAlpha},
    {"spec.C[].readinessProbe.grpc.mode", "TLS", kAlpha},
    {"spec.C[].readinessProbe.httpGet.protocol", "HTTP2", kAlpha},
    {"spec.C[].startupProbe.grpc.mode", "TLS", kAlpha},
    {"spec.C[].startupProbe.httpGet.protocol", "HTTP2", kAlpha},
};

constexpr const char* kContainerLists[] = {"containers", "initContainers", "ephemeralContainers"};
constexpr char kEphemeralList[] = "ephemeralContainers";

bool NeverEphemeral(const std::string& path) {
  for (const std::string field : kNotEphemeral) {
    if (path == field || path.rfind(field + ".", 0) == 0 || path.rfind(field + "[", 0) == 0) return true;
  }
  return false;
}

std::vector<RefusedValue> MakeRefusedValues() {
  std::vector<RefusedValue> values;
  for (const auto& entry : kRefusedValues) {
    const std::string path = entry.path;
    if (path.rfind("spec.C[]", 0) != 0) {
      values.push_back({path, entry.value, entry.note});
      continue;
    }
    for (const std::string list : kContainerLists) {
      if (list == kEphemeralList && NeverEphemeral(path.substr(9))) continue;
      values.push_back({"spec." + list + path.substr(6), entry.value, entry.note});
    }
  }
  return values;
}

/// A supported field's note with the values that are refused.
std::string NoteOf(const std::string& path, const char* note) {
  std::string text = note;
  for (const RefusedValue& refused : RefusedFieldValues()) {
    if (refused.path != path && refused.path.rfind(path + "[].", 0) != 0) continue;
    if (!text.empty()) text += "; ";
    text += refused.value + " is " + refused.note;
  }
  return text;
}

std::vector<FieldSupport> MakeTable() {
  std::vector<FieldSupport> table;
  const auto add = [&](const std::string& path, const Row& row) {
    table.push_back({path, row.supported, NoteOf(path, row.note)});
  };
  for (const Row& row : kPodRows) add(std::string("spec.") + row.path, row);
  for (const std::string list : kContainerLists) {
    for (const Row& row : kContainerRows) {
      if (list != kEphemeralList || !NeverEphemeral(row.path)) add("spec." + list + "[]." + row.path, row);
    }
  }
  for (const char* field : kNotEphemeral) {
    add(std::string("spec.ephemeralContainers[].") + field, Row{field, kDone, kNeverThere});
  }
  add("spec.ephemeralContainers[].targetContainerName",
      Row{"targetContainerName", kDone, "joins that container's pid namespace"});
  for (const Row& row : kVolumeRows) add(std::string("spec.volumes[].") + row.path, row);
  return table;
}

}  // namespace

const std::vector<RefusedValue>& RefusedFieldValues() {
  static const std::vector<RefusedValue> values = MakeRefusedValues();
  return values;
}

const std::vector<FieldSupport>& PodFieldTable() {
  static const std::vector<FieldSupport> table = MakeTable();
  return table;
}

std::string RenderFieldTable() {
  const auto find = [](const std::string& path) -> const FieldSupport* {
    for (const FieldSupport& field : PodFieldTable()) {
      if (field.path == path) return &field;
    }
    return nullptr;
  };
  std::string text = "| field | | |\n| --- | --- | --- |\n";
  for (const FieldSupport& field : PodFieldTable()) {
    // Rows that say the same of several kinds of containers become one, in the place of the first.
    std::vector<std::string> same;
    std::string rest;
    for (const std::string list : kContainerLists) {
      const std::string prefix = "spec." + list + "[].";
      if (field.path.rfind(prefix, 0) == 0) rest = field.path.substr(prefix.size());
    }
    for (const std::string list : kContainerLists) {
      const FieldSupport* twin = rest.empty() ? nullptr : find("spec." + list + "[]." + rest);
      if (twin != nullptr && twin->supported == field.supported && twin->note == field.note) same.push_back(list);
    }
    if (!same.empty() && field.path.rfind("spec." + same.front() + "[].", 0) != 0) continue;
    std::string path = field.path;
    if (same.size() > 1) path = absl::StrCat("spec.{", absl::StrJoin(same, ","), "}[].", rest);
    absl::StrAppend(&text, "| `", path, "` | ", field.supported ? "done" : "**refused**", " | ", field.note, " |\n");
  }
  return text;
}

}  // namespace burstlet::provider
