#include "cache/manifest.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cache/json.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::string_view kDockerSchema1 = "application/vnd.docker.distribution.manifest.v1+";
constexpr std::size_t kMaxLayers = 1000;  // overlayfs itself ends at 500 lower directories
constexpr std::size_t kMaxIndexEntries = 4096;
constexpr std::string_view kOs = "linux";
constexpr std::string_view kArchitecture = "amd64";

bool StartsWith(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }
bool Contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

absl::StatusOr<Descriptor> ParseDescriptor(const Json& json, std::string_view what) {
  if (!json.IsObject()) return absl::InvalidArgumentError(absl::StrCat(std::string(what), " is no descriptor"));
  Descriptor out;
  out.media_type = json["mediaType"].Text();
  absl::StatusOr<Digest> digest = Digest::Parse(json["digest"].Text());
  if (!digest.ok()) return Annotate(digest.status(), what);
  out.digest = *std::move(digest);
  const Json& size = json["size"];
  if (size.type != Json::Type::kNumber || size.number < 0) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(what), ": invalid size"));
  }
  out.size = static_cast<std::uint64_t>(size.number);
  return out;
}

/// Layers come only from the registry that was asked: URLs in the descriptor are never followed.
absl::Status CheckLayerType(const Descriptor& layer) {
  const std::string& type = layer.media_type;
  if (Contains(type, "foreign") || Contains(type, "nondistributable")) {
    return absl::UnimplementedError(
        absl::StrCat("foreign layer ", layer.digest.text(), " (", type, ") is not supported"));
  }
  if (Contains(type, "encrypted")) {
    return absl::UnimplementedError(absl::StrCat("encrypted layer ", layer.digest.text(), " is not supported"));
  }
  const bool known = StartsWith(type, "application/vnd.oci.image.layer.v1.tar") ||
                     StartsWith(type, "application/vnd.docker.image.rootfs.diff.tar");
  if (known || type.empty()) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("layer ", layer.digest.text(), " has the unsupported media type \"", type.substr(0, 100), "\""));
}

absl::StatusOr<Manifest> ParseImageManifest(const Json& json) {
  Manifest manifest;
  ASSIGN_OR_RETURN(manifest.config, ParseDescriptor(json["config"], "config"));
  if (manifest.config.size > kMaxConfigBytes) return absl::InvalidArgumentError("image config too large");
  const Json& layers = json["layers"];
  if (!layers.IsArray()) return absl::InvalidArgumentError("manifest without layers");
  if (layers.array.size() > kMaxLayers) return absl::InvalidArgumentError("manifest with too many layers");
  for (const Json& item : layers.array) {
    ASSIGN_OR_RETURN(Descriptor layer, ParseDescriptor(item, "layer"));
    RETURN_IF_ERROR(CheckLayerType(layer));
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

/// The first entry for this platform wins (image-index.md); a variant above v1 may need a newer CPU, so it comes last.
absl::StatusOr<IndexChoice> ParseIndex(const Json& json) {
  const Json& manifests = json["manifests"];
  if (!manifests.IsArray()) return absl::InvalidArgumentError("index without manifests");
  if (manifests.array.size() > kMaxIndexEntries) return absl::InvalidArgumentError("index with too many manifests");
  const Json* fallback = nullptr;
  std::string seen;
  for (const Json& item : manifests.array) {
    const Json& platform = item["platform"];
    const std::string& os = platform["os"].Text();
    const std::string& architecture = platform["architecture"].Text();
    if (seen.size() < 200) seen += (seen.empty() ? "" : ", ") + os.substr(0, 20) + "/" + architecture.substr(0, 20);
    if (os != kOs || architecture != kArchitecture) {
      if (!platform.IsObject() && manifests.array.size() == 1) fallback = &item;
      continue;
    }
    const std::string& variant = platform["variant"].Text();
    if (variant.empty() || variant == "v1") {
      ASSIGN_OR_RETURN(Descriptor choice, ParseDescriptor(item, "manifest"));
      return IndexChoice{std::move(choice)};
    }
    if (fallback == nullptr) fallback = &item;
  }
  if (fallback == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("no match for platform in manifest: linux/amd64 is not among: ", seen.empty() ? "nothing" : seen));
  }
  ASSIGN_OR_RETURN(Descriptor choice, ParseDescriptor(*fallback, "manifest"));
  return IndexChoice{std::move(choice)};
}

/// "a/b+json; charset=utf-8" -> "a/b+json"
std::string_view BareType(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  return type;
}

}  // namespace

std::string ManifestAcceptHeader() {
  return absl::StrCat(std::string(kOciIndex), ", ", std::string(kOciManifest), ", ", std::string(kDockerList), ", ",
                      std::string(kDockerManifest));
}

absl::StatusOr<std::variant<Manifest, IndexChoice>> ParseManifest(std::string_view body,
                                                                  std::string_view content_type) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(body, kMaxManifestBytes));
  if (!json.IsObject()) return absl::InvalidArgumentError("manifest is no JSON object");
  const std::string& own_type = json["mediaType"].Text();
  const std::string_view type = own_type.empty() ? BareType(content_type) : std::string_view(own_type);
  if (StartsWith(type, kDockerSchema1) || json["schemaVersion"].number == 1 || json["fsLayers"].IsArray()) {
    return absl::UnimplementedError("docker image manifest schema 1 is no longer supported: push the image anew");
  }
  // One document that is both could be shown to one client as this and to another as that (CVE-2021-41190).
  if (json["manifests"].IsArray() && json["layers"].IsArray()) {
    return absl::InvalidArgumentError("manifest and index in one document");
  }
  const bool is_index = type == kOciIndex || type == kDockerList;
  const bool is_manifest = type == kOciManifest || type == kDockerManifest;
  if (is_index || (!is_manifest && json["manifests"].IsArray())) {
    ASSIGN_OR_RETURN(IndexChoice choice, ParseIndex(json));
    return std::variant<Manifest, IndexChoice>(std::move(choice));
  }
  if (is_manifest || json["layers"].IsArray()) {
    ASSIGN_OR_RETURN(Manifest manifest, ParseImageManifest(json));
    return std::variant<Manifest, IndexChoice>(std::move(manifest));
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown manifest type \"", std::string(type.substr(0, 100)), "\""));
}

absl::StatusOr<ParsedConfig> ParseConfig(std::string_view body, std::size_t layers) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(body, kMaxConfigBytes));
  if (!json.IsObject()) return absl::InvalidArgumentError("image config is no JSON object");
  const std::string& os = json["os"].Text();
  const std::string& architecture = json["architecture"].Text();
  if ((!os.empty() && os != kOs) || (!architecture.empty() && architecture != kArchitecture)) {
    return absl::InvalidArgumentError(
        absl::StrCat("image is for ", os.substr(0, 40), "/", architecture.substr(0, 40), ", this node is linux/amd64"));
  }
  ParsedConfig out;
  const Json& rootfs = json["rootfs"];
  if (rootfs["type"].Text() != "layers" || !rootfs["diff_ids"].IsArray()) {
    return absl::InvalidArgumentError("image config without rootfs of type layers");
  }
  for (const Json& item : rootfs["diff_ids"].array) {
    ASSIGN_OR_RETURN(Digest diff_id, Digest::Parse(item.Text()));
    out.diff_ids.push_back(std::move(diff_id));
  }
  if (out.diff_ids.size() != layers) {
    return absl::InvalidArgumentError(absl::StrCat("mismatched image rootfs and manifest layers: ", out.diff_ids.size(),
                                                   " diff IDs, ", layers, " layers"));
  }
  const Json& config = json["config"];
  out.config.entrypoint = config["Entrypoint"].Strings();
  out.config.cmd = config["Cmd"].Strings();
  out.config.env = config["Env"].Strings();
  out.config.user = config["User"].Text();
  out.config.working_dir = config["WorkingDir"].Text();
  out.config.stop_signal = config["StopSignal"].Text();
  for (const auto& [path, unused] : config["Volumes"].object) out.config.volumes.push_back(path);
  for (const auto& [key, value] : config["Labels"].object) out.config.labels.emplace(key, value.Text());
  return out;
}

}  // namespace burstlet::cache
