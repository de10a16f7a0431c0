// What fills the files of a volume: keys to paths, the downward API and projected sources.
#include <set>

#include "absl/strings/str_cat.h"
#include "provider/validation.h"
#include "provider/validation_names.h"

namespace burstlet::provider::validation {
namespace {

constexpr std::int32_t kMostFileMode = 0777;
constexpr std::int64_t kMostId = 2147483647;
constexpr std::int64_t kLeastTokenSeconds = 600;
constexpr std::int64_t kMostTokenSeconds = std::int64_t{1} << 32;
constexpr std::int32_t kLeastCertificateSeconds = 3600;

const std::vector<std::string>& VolumeFields() {
  static const std::vector<std::string> kFields = {"metadata.annotations", "metadata.labels", "metadata.name",
                                                   "metadata.namespace", "metadata.uid"};
  return kFields;
}

/// The files of all sources of one volume: each path once.
class Paths {
 public:
  Paths(Complaints& complaints, const std::string& volume) : complaints_(complaints), volume_(volume) {}

  void Add(const std::string& path, const std::string& blamed) {
    if (!path.empty() && !seen_.insert(path).second) {
      complaints_.Invalid(volume_, blamed, "conflicting duplicate paths");
    }
  }

 private:
  Complaints& complaints_;
  const std::string& volume_;
  std::set<std::string> seen_;
};

template <typename Projection>
void CheckKeys(Complaints& complaints, const std::string& path, const Projection& source, Paths& paths) {
  if (source.name.empty()) complaints.Required(path + ".name");
  for (std::size_t i = 0; i < source.items.size(); ++i) {
    CheckKeyToPath(complaints, Index(path + ".items", i), source.items[i]);
    paths.Add(source.items[i].path, source.name);
  }
}

void CheckToken(Complaints& complaints, const std::string& volume, const std::string& path,
                const kube::ServiceAccountTokenProjection& token) {
  if (!token.expirationSeconds) {
    complaints.Required(path + ".expirationSeconds");
  } else if (*token.expirationSeconds < kLeastTokenSeconds) {
    complaints.Invalid(path + ".expirationSeconds", *token.expirationSeconds,
                       "may not specify a duration less than 10 minutes");
  } else if (*token.expirationSeconds > kMostTokenSeconds) {
    complaints.Invalid(path + ".expirationSeconds", *token.expirationSeconds,
                       "may not specify a duration larger than 2^32 seconds");
  }
  // Blames the volume, not the source, as the server does.
  if (token.path.empty()) complaints.Required(volume + ".path");
  complaints.InvalidEach(volume + ".path", token.path, LocalPath(token.path));
  CheckUser(complaints, path + ".user", token.user);
}

void CheckTrustBundle(Complaints& complaints, const std::string& path, const kube::ClusterTrustBundleProjection& bundle,
                      Paths& paths) {
  if (!bundle.name && !bundle.signerName) complaints.Required(path, "either name or signerName must be specified");
  if (bundle.name && bundle.name->empty()) complaints.Required(path + ".name", "must be a valid object name");
  if (bundle.signerName && bundle.signerName->empty()) {
    complaints.Required(path + ".signerName", "must be a valid signer name");
  }
  if (bundle.path.empty()) complaints.Required(path + ".path");
  CheckUser(complaints, path + ".user", bundle.user);
  complaints.InvalidEach(path + ".path", bundle.path, LocalPath(bundle.path));
  paths.Add(bundle.path, bundle.path);
}

void CheckCertificate(Complaints& complaints, const std::string& path, const kube::PodCertificateProjection& source,
                      Paths& paths) {
  CheckUser(complaints, path + ".user", source.user);
  complaints.OneOf(path + ".keyType", source.keyType,
                   {"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"});
  if (source.maxExpirationSeconds && *source.maxExpirationSeconds < kLeastCertificateSeconds) {
    complaints.Invalid(path + ".maxExpirationSeconds", *source.maxExpirationSeconds,
                       "if provided, maxExpirationSeconds must be >= 3600");
  }
  int count = 0;
  const auto file = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    ++count;
    complaints.InvalidEach(absl::StrCat(path, ".", name), value, LocalPath(value));
    paths.Add(value, value);
  };
  file("credentialBundlePath", source.credentialBundlePath);
  file("keyPath", source.keyPath);
  file("certificateChainPath", source.certificateChainPath);
  if (count == 0) {
    complaints.Required(path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
  }
}

}  // namespace

void CheckUser(Complaints& complaints, const std::string& path, const std::optional<std::int64_t>& user) {
  if (user) complaints.InRange(path, *user, 0, kMostId);
}

void CheckFileMode(Complaints& complaints, const std::string& path, const std::optional<std::int32_t>& mode) {
  if (mode && (*mode < 0 || *mode > kMostFileMode)) {
    complaints.Invalid(path, *mode, "must be a number between 0 and 0777 (octal), both inclusive");
  }
}

void CheckKeyToPath(Complaints& complaints, const std::string& path, const kube::KeyToPath& item) {
  if (item.key.empty()) complaints.Required(path + ".key");
  if (item.path.empty()) complaints.Required(path + ".path");
  complaints.InvalidEach(path + ".path", item.path, LocalPath(item.path));
  CheckFileMode(complaints, path + ".mode", item.mode);
  CheckUser(complaints, path + ".user", item.user);
}

void CheckDownwardFile(Complaints& complaints, const std::string& path, const kube::DownwardAPIVolumeFile& file) {
  if (file.path.empty()) complaints.Required(path + ".path");
  complaints.InvalidEach(path + ".path", file.path, LocalPath(file.path));
  if (file.fieldRef) {
    CheckFieldRef(complaints, path + ".fieldRef", *file.fieldRef, VolumeFields());
    if (file.resourceFieldRef) {
      complaints.Invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
    }
  } else if (file.resourceFieldRef) {
    CheckResourceFieldRef(complaints, path + ".resourceFieldRef", *file.resourceFieldRef, true);
  } else {
    complaints.Required(path, "one of fieldRef and resourceFieldRef is required");
  }
  CheckFileMode(complaints, path + ".mode", file.mode);
  CheckUser(complaints, path + ".user", file.user);
}

void CheckProjected(Complaints& complaints, const std::string& path, const kube::ProjectedVolumeSource& projected) {
  CheckFileMode(complaints, path + ".defaultMode", projected.defaultMode);
  CheckUser(complaints, path + ".defaultUser", projected.defaultUser);
  Paths paths(complaints, path);
  for (std::size_t i = 0; i < projected.sources.size(); ++i) {
    const kube::VolumeProjection& source = projected.sources[i];
    const std::string at = Index(path + ".sources", i);
    if (source.secret) CheckKeys(complaints, at + ".secret", *source.secret, paths);
    if (source.configMap) CheckKeys(complaints, at + ".configMap", *source.configMap, paths);
    if (source.downwardAPI) {
      for (const kube::DownwardAPIVolumeFile& file : source.downwardAPI->items) {
        CheckDownwardFile(complaints, at + ".downwardAPI", file);
        paths.Add(file.path, file.path);
      }
    }
    if (source.serviceAccountToken) {
      CheckToken(complaints, path, at + ".serviceAccountToken", *source.serviceAccountToken);
    }
    if (source.clusterTrustBundle) {
      CheckTrustBundle(complaints, at + ".clusterTrustBundle", *source.clusterTrustBundle, paths);
    }
    if (source.podCertificate) CheckCertificate(complaints, at + ".podCertificate", *source.podCertificate, paths);
    const int sources = source.secret.has_value() + source.configMap.has_value() + source.downwardAPI.has_value() +
                        source.serviceAccountToken.has_value() + source.clusterTrustBundle.has_value() +
                        source.podCertificate.has_value();
    if (sources > 1) complaints.Forbidden(at, "may not specify more than 1 volume type per source");
  }
}

}  // namespace burstlet::provider::validation
