// Volumes of a pod, the sources burstlet knows typed and the drivers' own kept as text.
//
// Plain data with the JSON spelling of the API reference, Kubernetes 1.37 (k8s.io/api/core/v1/types.go); the field
// lists at the end of each struct drive kube/json: decoding, encoding and the search for unknown fields.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/api/meta.h"

namespace burstlet::kube {

struct HostPathVolumeSource {
  std::string path;
  std::optional<std::string> type;
};
BURSTLET_API_FIELDS(HostPathVolumeSource, (path), type);

struct EmptyDirVolumeSource {
  std::string medium;
  std::optional<Quantity> sizeLimit;
  std::optional<std::int32_t> mode;
};
BURSTLET_API_FIELDS(EmptyDirVolumeSource, (), medium, sizeLimit, mode);

struct KeyToPath {
  std::string key;
  std::string path;
  std::optional<std::int32_t> mode;
  std::optional<std::int64_t> user;
};
BURSTLET_API_FIELDS(KeyToPath, (key, path), mode, user);

struct SecretVolumeSource {
  std::string secretName;
  std::vector<KeyToPath> items;
  std::optional<std::int32_t> defaultMode;
  std::optional<bool> optional;
  std::optional<std::int64_t> defaultUser;
};
BURSTLET_API_FIELDS(SecretVolumeSource, (), secretName, items, defaultMode, optional, defaultUser);

struct NFSVolumeSource {
  std::string server;
  std::string path;
  bool readOnly = false;
};
BURSTLET_API_FIELDS(NFSVolumeSource, (server, path), readOnly);

struct PersistentVolumeClaimVolumeSource {
  std::string claimName;
  bool readOnly = false;
};
BURSTLET_API_FIELDS(PersistentVolumeClaimVolumeSource, (claimName), readOnly);

struct ObjectFieldSelector {
  std::string apiVersion;
  std::string fieldPath;
};
BURSTLET_API_FIELDS(ObjectFieldSelector, (fieldPath), apiVersion);

struct ResourceFieldSelector {
  std::string containerName;
  std::string resource;
  Quantity divisor;
};
BURSTLET_API_FIELDS(ResourceFieldSelector, (resource), containerName, divisor);

struct DownwardAPIVolumeFile {
  std::string path;
  std::optional<ObjectFieldSelector> fieldRef;
  std::optional<ResourceFieldSelector> resourceFieldRef;
  std::optional<std::int32_t> mode;
  std::optional<std::int64_t> user;
};
BURSTLET_API_FIELDS(DownwardAPIVolumeFile, (path), fieldRef, resourceFieldRef, mode, user);

struct DownwardAPIVolumeSource {
  std::vector<DownwardAPIVolumeFile> items;
  std::optional<std::int32_t> defaultMode;
  std::optional<std::int64_t> defaultUser;
};
BURSTLET_API_FIELDS(DownwardAPIVolumeSource, (), items, defaultMode, defaultUser);

struct ConfigMapVolumeSource {
  std::string name;
  std::vector<KeyToPath> items;
  std::optional<std::int32_t> defaultMode;
  std::optional<bool> optional;
  std::optional<std::int64_t> defaultUser;
};
BURSTLET_API_FIELDS(ConfigMapVolumeSource, (), name, items, defaultMode, optional, defaultUser);

struct SecretProjection {
  std::string name;
  std::vector<KeyToPath> items;
  std::optional<bool> optional;
};
BURSTLET_API_FIELDS(SecretProjection, (), name, items, optional);

struct DownwardAPIProjection {
  std::vector<DownwardAPIVolumeFile> items;
};
BURSTLET_API_FIELDS(DownwardAPIProjection, (), items);

struct ConfigMapProjection {
  std::string name;
  std::vector<KeyToPath> items;
  std::optional<bool> optional;
};
BURSTLET_API_FIELDS(ConfigMapProjection, (), name, items, optional);

struct ServiceAccountTokenProjection {
  std::string audience;
  std::optional<std::int64_t> expirationSeconds;
  std::string path;
  std::optional<std::int64_t> user;
};
BURSTLET_API_FIELDS(ServiceAccountTokenProjection, (path), audience, expirationSeconds, user);

struct ClusterTrustBundleProjection {
  std::optional<std::string> name;
  std::optional<std::string> signerName;
  std::optional<RawJson> labelSelector;
  std::optional<bool> optional;
  std::string path;
  std::optional<std::int64_t> user;
};
BURSTLET_API_FIELDS(ClusterTrustBundleProjection, (path), name, signerName, labelSelector, optional, user);

struct PodCertificateProjection {
  std::string signerName;
  std::string keyType;
  std::optional<std::int32_t> maxExpirationSeconds;
  std::string credentialBundlePath;
  std::string keyPath;
  std::string certificateChainPath;
  std::map<std::string, std::string> userAnnotations;
  std::optional<std::int64_t> user;
};
BURSTLET_API_FIELDS(PodCertificateProjection, (), signerName, keyType, maxExpirationSeconds, credentialBundlePath,
                    keyPath, certificateChainPath, userAnnotations, user);

struct VolumeProjection {
  std::optional<SecretProjection> secret;
  std::optional<DownwardAPIProjection> downwardAPI;
  std::optional<ConfigMapProjection> configMap;
  std::optional<ServiceAccountTokenProjection> serviceAccountToken;
  std::optional<ClusterTrustBundleProjection> clusterTrustBundle;
  std::optional<PodCertificateProjection> podCertificate;
};
BURSTLET_API_FIELDS(VolumeProjection, (), secret, downwardAPI, configMap, serviceAccountToken, clusterTrustBundle,
                    podCertificate);

struct ProjectedVolumeSource {
  std::vector<VolumeProjection> sources;
  std::optional<std::int32_t> defaultMode;
  std::optional<std::int64_t> defaultUser;
};
BURSTLET_API_FIELDS(ProjectedVolumeSource, (sources), defaultMode, defaultUser);

struct LocalObjectReference {
  std::string name;
};
BURSTLET_API_FIELDS(LocalObjectReference, (), name);

struct CSIVolumeSource {
  std::string driver;
  std::optional<bool> readOnly;
  std::optional<std::string> fsType;
  std::map<std::string, std::string> volumeAttributes;
  std::optional<LocalObjectReference> nodePublishSecretRef;
};
BURSTLET_API_FIELDS(CSIVolumeSource, (driver), readOnly, fsType, volumeAttributes, nodePublishSecretRef);

struct EphemeralVolumeSource {
  std::optional<RawJson> volumeClaimTemplate;
};
BURSTLET_API_FIELDS(EphemeralVolumeSource, (), volumeClaimTemplate);

struct ImageVolumeSource {
  std::string reference;
  std::string pullPolicy;
};
BURSTLET_API_FIELDS(ImageVolumeSource, (), reference, pullPolicy);

struct Volume {
  std::string name;
  std::optional<HostPathVolumeSource> hostPath;
  std::optional<EmptyDirVolumeSource> emptyDir;
  std::optional<RawJson> gcePersistentDisk;
  std::optional<RawJson> awsElasticBlockStore;
  std::optional<RawJson> gitRepo;
  std::optional<SecretVolumeSource> secret;
  std::optional<NFSVolumeSource> nfs;
  std::optional<RawJson> iscsi;
  std::optional<RawJson> glusterfs;
  std::optional<PersistentVolumeClaimVolumeSource> persistentVolumeClaim;
  std::optional<RawJson> rbd;
  std::optional<RawJson> flexVolume;
  std::optional<RawJson> cinder;
  std::optional<RawJson> cephfs;
  std::optional<RawJson> flocker;
  std::optional<DownwardAPIVolumeSource> downwardAPI;
  std::optional<RawJson> fc;
  std::optional<RawJson> azureFile;
  std::optional<ConfigMapVolumeSource> configMap;
  std::optional<RawJson> vsphereVolume;
  std::optional<RawJson> quobyte;
  std::optional<RawJson> azureDisk;
  std::optional<RawJson> photonPersistentDisk;
  std::optional<ProjectedVolumeSource> projected;
  std::optional<RawJson> portworxVolume;
  std::optional<RawJson> scaleIO;
  std::optional<RawJson> storageos;
  std::optional<CSIVolumeSource> csi;
  std::optional<EphemeralVolumeSource> ephemeral;
  std::optional<ImageVolumeSource> image;
};
BURSTLET_API_FIELDS(Volume, (name), hostPath, emptyDir, gcePersistentDisk, awsElasticBlockStore, gitRepo, secret, nfs,
                    iscsi, glusterfs, persistentVolumeClaim, rbd, flexVolume, cinder, cephfs, flocker, downwardAPI, fc,
                    azureFile, configMap, vsphereVolume, quobyte, azureDisk, photonPersistentDisk, projected,
                    portworxVolume, scaleIO, storageos, csi, ephemeral, image);

struct VolumeMount {
  std::string name;
  bool readOnly = false;
  std::optional<std::string> recursiveReadOnly;
  std::string mountPath;
  std::string subPath;
  std::optional<std::string> mountPropagation;
  std::string subPathExpr;
  std::vector<std::string> bindMountOptions;
};
BURSTLET_API_FIELDS(VolumeMount, (name, mountPath), readOnly, recursiveReadOnly, subPath, mountPropagation, subPathExpr,
                    bindMountOptions);

struct VolumeDevice {
  std::string name;
  std::string devicePath;
};
BURSTLET_API_FIELDS(VolumeDevice, (name, devicePath));

}  // namespace burstlet::kube
