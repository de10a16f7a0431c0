// A whole image in memory: layers, config, manifest, all digests right unless a test bends them.
#pragma once

#include <string>
#include <vector>

#include "cache/digest.h"
#include "cache/json.h"
#include "test/cache/tar_builder.h"

namespace burstlet::cache::test {

struct TestLayer {
  std::string blob;
  std::string diff_id;
  std::string media_type;
};

inline TestLayer GzipLayer(const std::string& tar) {
  return {Gzip(tar), DigestOf(tar).text(), "application/vnd.docker.image.rootfs.diff.tar.gzip"};
}
inline TestLayer ZstdLayer(const std::string& tar) {
  return {Zstd(tar), DigestOf(tar).text(), "application/vnd.oci.image.layer.v1.tar+zstd"};
}
inline TestLayer PlainLayer(const std::string& tar) {
  return {tar, DigestOf(tar).text(), "application/vnd.oci.image.layer.v1.tar"};
}

struct TestImage {
  std::string config;
  std::string manifest;
  std::string manifest_type;
  std::vector<TestLayer> layers;

  std::string ConfigDigest() const { return DigestOf(config).text(); }
  std::string ManifestDigest() const { return DigestOf(manifest).text(); }
};

inline Json DescriptorJson(const std::string& type, const std::string& content) {
  Json json = Json::Object();
  json.object["mediaType"] = type;
  json.object["digest"] = DigestOf(content).text();
  json.object["size"] = static_cast<std::int64_t>(content.size());
  return json;
}

inline TestImage MakeImage(std::vector<TestLayer> layers, bool oci = false, const std::string& extra = "x") {
  TestImage image;
  Json config = Json::Object();
  config.object["architecture"] = "amd64";
  config.object["os"] = "linux";
  Json run = Json::Object();
  Json cmd = Json::Array();
  cmd.array.emplace_back("/bin/app");
  run.object["Cmd"] = cmd;
  run.object["User"] = "1234:5678";
  run.object["WorkingDir"] = "/srv";
  run.object["StopSignal"] = "SIGQUIT";
  Json env = Json::Array();
  env.array.emplace_back("PATH=/bin");
  run.object["Env"] = env;
  Json labels = Json::Object();
  labels.object["extra"] = extra;
  run.object["Labels"] = labels;
  config.object["config"] = run;
  Json rootfs = Json::Object();
  rootfs.object["type"] = "layers";
  Json diff_ids = Json::Array();
  for (const TestLayer& layer : layers) diff_ids.array.emplace_back(layer.diff_id);
  rootfs.object["diff_ids"] = diff_ids;
  config.object["rootfs"] = rootfs;
  image.config = config.Dump();

  image.manifest_type =
      oci ? "application/vnd.oci.image.manifest.v1+json" : "application/vnd.docker.distribution.manifest.v2+json";
  Json manifest = Json::Object();
  manifest.object["schemaVersion"] = std::int64_t{2};
  manifest.object["mediaType"] = image.manifest_type;
  manifest.object["config"] = DescriptorJson(
      oci ? "application/vnd.oci.image.config.v1+json" : "application/vnd.docker.container.image.v1+json",
      image.config);
  Json list = Json::Array();
  for (const TestLayer& layer : layers) list.array.push_back(DescriptorJson(layer.media_type, layer.blob));
  manifest.object["layers"] = list;
  image.manifest = manifest.Dump();
  image.layers = std::move(layers);
  return image;
}

/// An index of one decoy for arm64 and `image` for linux/amd64.
inline std::string MakeIndex(const TestImage& image, bool oci) {
  Json json = Json::Object();
  json.object["schemaVersion"] = std::int64_t{2};
  json.object["mediaType"] =
      oci ? "application/vnd.oci.image.index.v1+json" : "application/vnd.docker.distribution.manifest.list.v2+json";
  Json list = Json::Array();
  for (const char* arch : {"arm64", "amd64"}) {
    const bool decoy = std::string(arch) == "arm64";
    Json item = DescriptorJson(image.manifest_type, decoy ? image.manifest + " " : image.manifest);
    Json platform = Json::Object();
    platform.object["os"] = "linux";
    platform.object["architecture"] = arch;
    item.object["platform"] = platform;
    list.array.push_back(item);
  }
  json.object["manifests"] = list;
  return json.Dump();
}

}  // namespace burstlet::cache::test
