// Every folder of test/testdata/translate: a pod and what surrounds it, and the specs it must become.
// UPDATE_GOLDEN=1 writes want.json anew; read the difference before committing it.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/json_codec.h"
#include "metrics/status.h"
#include "provider/translate/environment.h"
#include "provider/translate/translate.h"
#include "test/provider/translate/spec_text.h"

namespace burstlet::provider::test {

struct ImageInput {
  std::vector<std::string> entrypoint, cmd, env;
  std::string user, workingDir, stopSignal;
};
BURSTLET_API_FIELDS(ImageInput, (), entrypoint, cmd, env, user, workingDir, stopSignal);

struct NodeInput {
  kube::ResourceList capacity, allocatable;
  std::vector<std::string> clusterDNS;
  std::int64_t pidsLimit = 0;
};
BURSTLET_API_FIELDS(NodeInput, (), capacity, allocatable, clusterDNS, pidsLimit);

struct Input {
  ImageInput image;
  NodeInput node;
  std::vector<std::string> podIPs;
  std::vector<kube::ConfigMap> configMaps;
  std::vector<kube::Secret> secrets;
  std::vector<kube::Service> services;
  bool seccompUnconfinedByDefault = false;
  std::map<std::string, std::string> localhostProfiles;
  std::string hostHosts, hostResolvConf;
};
BURSTLET_API_FIELDS(Input, (), image, node, podIPs, configMaps, secrets, services, seccompUnconfinedByDefault,
                    localhostProfiles, hostHosts, hostResolvConf);

namespace {

namespace fs = std::filesystem;

std::string Read(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

NodeInfo MakeNode(const NodeInput& input) {
  NodeInfo node;
  node.name = "node-1";
  node.hostname = "host-1";
  node.addresses = {"192.0.2.10"};
  node.capacity = {{"cpu", {"2"}}, {"memory", {"4Gi"}}};
  node.allocatable = {{"cpu", {"1800m"}}, {"memory", {"3Gi"}}, {"ephemeral-storage", {"10Gi"}}};
  for (const auto& [name, quantity] : input.capacity) node.capacity[name] = quantity;
  for (const auto& [name, quantity] : input.allocatable) node.allocatable[name] = quantity;
  node.cluster_dns = input.clusterDNS;
  if (input.pidsLimit != 0) node.pids_limit = input.pidsLimit;
  return node;
}

ReadyVolumes MakeVolumes(const kube::Pod& pod) {
  ReadyVolumes result;
  for (const auto& volume : pod.spec.volumes) {
    ReadyVolume ready;
    ready.source.path = volume.hostPath ? volume.hostPath->path : "/volumes/" + volume.name;
    if (volume.emptyDir && volume.emptyDir->medium == "Memory") {
      ready.source = {};
      ready.source.kind = sandbox::VolumeSource::Kind::kTmpfs;
    }
    result[volume.name] = ready;
  }
  return result;
}

/// One case: the input's parts as the translators take them.
struct Case {
  kube::Pod pod;
  Input input;
  NodeInfo node;
  cache::Image image;
  EnvSources sources;
  TranslateOptions options;
};

Case Load(const fs::path& folder) {
  Case result;
  std::vector<std::string> unknown;
  auto pod = kube::Decode<kube::Pod>(Read(folder / "pod.json"), &unknown);
  INFO(pod.status().ToString() << absl::StrJoin(unknown, " "));
  REQUIRE((pod.ok() && unknown.empty()));
  result.pod = *pod;
  if (fs::exists(folder / "input.json")) {
    auto input = kube::Decode<Input>(Read(folder / "input.json"), &unknown);
    INFO(input.status().ToString() << absl::StrJoin(unknown, " "));
    REQUIRE((input.ok() && unknown.empty()));
    result.input = *input;
  }
  const Input& input = result.input;
  result.node = MakeNode(input.node);
  result.image.layer_dirs = {"/layers/top", "/layers/base"};
  auto& config = result.image.config;
  config.entrypoint = input.image.entrypoint;
  config.cmd = input.image.cmd;
  config.env = input.image.env;
  config.user = input.image.user;
  config.working_dir = input.image.workingDir;
  config.stop_signal = input.image.stopSignal;
  for (const auto& one : input.configMaps) {
    result.sources.config_maps.emplace(one.metadata.name, std::make_shared<const kube::ConfigMap>(one));
  }
  for (const auto& one : input.secrets) {
    result.sources.secrets.emplace(one.metadata.name, std::make_shared<const kube::Secret>(one));
  }
  for (const auto& one : input.services) result.sources.services.push_back(std::make_shared<const kube::Service>(one));
  result.sources.pod_ips = input.podIPs;
  result.sources.host_ips = result.node.addresses;
  result.options.seccomp_default = !input.seccompUnconfinedByDefault;
  result.options.seccomp_profile_root = "/seccomp";
  for (const auto& [name, text] : input.localhostProfiles) result.options.localhost_profiles.emplace(name, text);
  return result;
}

std::string ErrorText(const absl::Status& status) {
  return absl::StrCat("{\"error\": ", Quoted(ReasonOf(status)),
                      ", \"message\": ", Quoted(std::string(status.message())), "}");
}

std::string ContainerText(const Case& one, const kube::Container& container, ContainerKind kind) {
  auto env = MakeEnvironment(one.pod, container, one.sources, one.node);
  if (!env.ok()) return ErrorText(env.status());
  ContainerInput input{container, kind, "id-" + container.name, 0, one.image, *env, {}, "/logs/0.log"};
  for (const char* path : {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log"}) {
    sandbox::MountSpec file;
    file.host_path = absl::StrCat("/files", path);
    file.destination = path;
    input.files.push_back(file);
  }
  auto spec = TranslateContainer(one.pod, input, one.node, one.options);
  return spec.ok() ? SpecText(*spec) : ErrorText(spec.status());
}

std::string CaseText(const Case& one) {
  auto sandbox = TranslateSandbox(one.pod, MakeVolumes(one.pod), one.node, one.options);
  std::string text =
      absl::StrCat("{\n  \"sandbox\": ", Indented(sandbox.ok() ? SpecText(*sandbox) : ErrorText(sandbox.status()), 2));
  auto names = PodHostNames(one.pod, one.node.cluster_domain);
  if (names.ok()) {
    absl::StrAppend(&text, ",\n  \"hosts\": ",
                    Indented(Lines(HostsFile(one.pod, one.input.podIPs, *names, one.input.hostHosts)), 2));
  }
  auto resolv = ResolvConf(one.pod, one.node, one.input.hostResolvConf);
  absl::StrAppend(&text,
                  ",\n  \"resolv.conf\": ", Indented(resolv.ok() ? Lines(*resolv) : ErrorText(resolv.status()), 2),
                  ",\n  \"containers\": [");
  std::vector<std::string> containers;
  for (const auto& init : one.pod.spec.initContainers) {
    containers.push_back(ContainerText(one, init, ContainerKind::kInit));
  }
  for (const auto& app : one.pod.spec.containers) containers.push_back(ContainerText(one, app, ContainerKind::kApp));
  for (const auto& ephemeral : one.pod.spec.ephemeralContainers) {
    containers.push_back(ContainerText(one, AsContainer(ephemeral), ContainerKind::kEphemeral));
  }
  for (std::string& block : containers) block = Indented(block, 4);
  absl::StrAppend(&text, "\n    ", absl::StrJoin(containers, ",\n    "), "\n  ]\n}\n");
  return text;
}

}  // namespace

TEST_CASE("pods become the specs of their golden files", "[translate]") {
  const fs::path root = fs::path(BURSTLET_SOURCE_DIR) / "test/testdata/translate";
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (!entry.is_directory()) continue;
    ++count;
    INFO(entry.path().filename().string());
    const std::string got = CaseText(Load(entry.path()));
    const fs::path want = entry.path() / "want.json";
    if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(want) << got;
    CHECK(got == Read(want));
  }
  CHECK(count >= 30);
}

}  // namespace burstlet::provider::test
