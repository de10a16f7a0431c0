#include "provider/node_agent.h"

#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/client.h"
#include "kube/event_recorder.h"
#include "kube/json.h"
#include "kube/object_watch.h"
#include "kube/reflector.h"
#include "kube/server/kubelet_server.h"
#include "metrics/catalog.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "metrics/version.h"
#include "provider/agent_metrics.h"
#include "provider/api_objects.h"
#include "provider/cli/local_agent.h"
#include "provider/kubelet_api.h"
#include "provider/node_certificates.h"
#include "provider/node_config.h"
#include "provider/node_controller.h"
#include "provider/node_identity.h"
#include "provider/node_status.h"
#include "provider/pod_runtime.h"
#include "provider/static_pod.h"
#include "provider/static_pod_files.h"
#include "provider/static_pod_url.h"
#include "provider/static_pods.h"
#include "sandbox/os/apparmor.h"
#include "sandbox/os/mount.h"

namespace burstlet::provider {
namespace {

constexpr std::chrono::milliseconds kServerGrace{2000};

/// What the user gave is wrong, whatever it failed by: another exit code than trouble at run time.
absl::Status WrongInput(const absl::Status& status, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", std::string(status.message())));
}

/// The node's services by namespace, for service environment variables.
class ServiceCache {
 public:
  void Replace(const std::vector<std::string>& objects) {
    services_.clear();
    for (const std::string& object : objects) Put(object);
  }
  void Put(const std::string& object) {
    auto service = kube::Decode<kube::Service>(object);
    if (!service.ok()) return LogIfError(service.status(), "Service not readable");
    const std::string key = ObjectName(service->metadata);
    services_[key] = std::make_shared<const kube::Service>(*std::move(service));
  }
  void Remove(const std::string& object) {
    const auto head = kube::DecodeHead(object);
    if (head.ok()) services_.erase(ObjectName(head->metadata));
  }
  /// Those of `name_space`, and the API server's own.
  std::vector<std::shared_ptr<const kube::Service>> For(const std::string& name_space) const {
    std::vector<std::shared_ptr<const kube::Service>> out;
    for (const auto& [key, service] : services_) {
      const bool master = service->metadata.namespace_ == "default" && service->metadata.name == "kubernetes";
      if (master || service->metadata.namespace_ == name_space) out.push_back(service);
    }
    return out;
  }

 private:
  std::map<std::string, std::shared_ptr<const kube::Service>> services_;
};

absl::StatusOr<SourcePod> DecodePod(const std::string& object) {
  SourcePod pod;
  auto decoded = kube::Decode<kube::Pod>(object, &pod.unknown_fields);
  if (!decoded.ok()) return decoded.status();
  // Where it came from is not for the pod to say.
  const auto source = decoded->metadata.annotations.find(kConfigSource);
  if (source != decoded->metadata.annotations.end() && !IsMirrorPod(*decoded)) source->second = "api";
  pod.pod = std::make_shared<const kube::Pod>(*std::move(decoded));
  return pod;
}

kube::ReflectorHandlers PodHandlers(PodWorkers& workers, StaticPods& static_pods) {
  kube::ReflectorHandlers handlers;
  handlers.replace = [&](std::vector<std::string> objects) {
    std::vector<SourcePod> pods;
    std::vector<std::shared_ptr<const kube::Pod>> mirrors;
    std::set<std::string> unreadable;
    for (const std::string& object : objects) {
      auto pod = DecodePod(object);
      if (pod.ok() && IsMirrorPod(*pod->pod)) {
        mirrors.push_back(pod->pod);
        continue;
      }
      if (pod.ok()) {
        pods.push_back(*std::move(pod));
        continue;
      }
      LogIfError(pod.status(), "Pod not readable");
      const auto head = kube::DecodeHead(object);
      if (head.ok()) unreadable.insert(head->metadata.uid);
    }
    workers.Replace(std::move(pods), std::move(unreadable));
    static_pods.ReplaceMirrors(std::move(mirrors));
  };
  handlers.changed = [&](std::string object) {
    auto pod = DecodePod(object);
    if (!pod.ok()) return LogIfError(pod.status(), "Pod not readable");
    if (IsMirrorPod(*pod->pod)) return static_pods.MirrorChanged(pod->pod);
    workers.Changed(*std::move(pod));
  };
  handlers.deleted = [&](std::string object) {
    const auto head = kube::DecodeHead(object);
    if (!head.ok()) return LogIfError(head.status(), "Pod not readable");
    if (head->metadata.annotations.contains(kConfigMirror)) return static_pods.MirrorDeleted(head->metadata);
    workers.Deleted(head->metadata.uid);
  };
  return handlers;
}

kube::ReflectorHandlers ServiceHandlers(ServiceCache& services) {
  kube::ReflectorHandlers handlers;
  handlers.replace = [&services](std::vector<std::string> objects) { services.Replace(objects); };
  handlers.changed = [&services](std::string object) { services.Put(object); };
  handlers.deleted = [&services](std::string object) { services.Remove(object); };
  return handlers;
}

absl::StatusOr<std::unique_ptr<kube::KubeletServer>> StartServer(const Config& config, const NodeInfo& node,
                                                                 const NodeCertificates& certificates,
                                                                 kube::KubeletHandlers handlers) {
  kube::KubeletServerConfig server;
  server.address = config.address;
  server.port = config.port;
  server.tls_cert_file = config.tls_cert_file;
  server.tls_key_file = config.tls_private_key_file;
  if (config.tls_cert_file.empty()) {
    ASSIGN_OR_RETURN(kube::KeyPair pair, certificates.FirstServingPair(node));
    server.tls_cert_pem = pair.certificate_pem;
    server.tls_key_pem = pair.key_pem;
  }
  server.client_ca_file = config.client_ca_file;
  server.token_authentication = config.webhook_authentication;
  server.anonymous = config.anonymous_authentication;
  server.tls_min_version = config.tls_min_version;
  server.tls_cipher_suites = config.tls_cipher_suites;
  server.always_allow = config.authorization_mode == "AlwaysAllow";
  server.token_cache_ttl = config.token_cache_ttl;
  server.authorized_cache_ttl = config.authorized_cache_ttl;
  server.unauthorized_cache_ttl = config.unauthorized_cache_ttl;
  server.node_name = node.name;
  server.node_log_queries = config.enable_system_log_query;
  server.debug_flags = config.enable_debug_flags_handler;
  server.local_socket = AgentSocket(config.root_dir);
  auto started = kube::KubeletServer::Start(server, std::move(handlers));
  if (started.ok() || absl::IsAlreadyExists(started.status())) return started;
  return WrongInput(started.status(), "the kubelet port");
}

kube::Task<void> StopAll(kube::Loop& loop, NodeController& controller, kube::EventRecorder& events,
                         kube::KubeletServer& server, kube::CancelToken cancel) {
  controller.Stop();
  cancel.Cancel();
  co_await events.Stop();
  server.Stop(kServerGrace);
  loop.Stop();
}

std::vector<kube::ContainerImage> NodeImages(cache::ImageStore& store) {
  std::vector<kube::ContainerImage> images;
  for (const auto& image : store.List()) {
    kube::ContainerImage entry;
    if (!image->repo_digest.empty()) entry.names.push_back(image->repo_digest);
    entry.names.insert(entry.names.end(), image->repo_tags.begin(), image->repo_tags.end());
    entry.sizeBytes = static_cast<std::int64_t>(image->size_bytes);
    images.push_back(std::move(entry));
  }
  return images;
}

/// What the node's status is made of, measured anew each time it is asked for.
std::function<NodeConditionsInput()> ConditionsOf(const NodeStatusConfig& config, PodRuntime& runtime) {
  auto hold = std::make_shared<PressureHold>();
  return [config, &runtime, hold] {
    NodeConditionsInput input;
    input.user_namespaces = sandbox::KernelMapsIds();
    const auto pressure = MeasurePressure(config);
    if (pressure.ok()) {
      input.pressure = hold->Update(*pressure, std::chrono::steady_clock::now());
    } else {
      LogIfError(pressure.status(), "Pressure not measured");
    }
    input.images = NodeImages(runtime.images());
    const std::string network = runtime.NetworkNotReady();
    if (!network.empty()) input.not_ready.push_back(network);
    return input;
  };
}

/// Static pods before any word of the API server. Without a path or URL there are none of it, and what a former agent
/// left of them ends.
std::vector<std::unique_ptr<StaticPodSource>> StartStaticPods(const Config& config, kube::Loop& loop,
                                                              PodRuntime& runtime, StaticPods& static_pods) {
  std::vector<std::unique_ptr<StaticPodSource>> sources;
  const auto start = [&](StaticOrigin::Kind kind, std::unique_ptr<StaticPodSource> source) {
    if (source == nullptr) return loop.Post([&static_pods, kind] { static_pods.Desire(kind, {}); });
    source->OnChange([&static_pods, kind](StaticPodList pods) { static_pods.Desire(kind, pods); });
    source->Start();
    sources.push_back(std::move(source));
  };
  start(StaticOrigin::Kind::kFile,
        config.static_pod_path.empty()
            ? nullptr
            : NewStaticPodFiles(loop, runtime.pool(), runtime.tasks(), config.static_pod_path, config.node_name,
                                config.file_check_frequency));
  StaticPodUrl from;
  from.url = config.static_pod_url;
  from.headers = config.static_pod_url_headers;
  from.check_frequency = config.http_check_frequency;
  from.proxy = cache::ProxyConfig::FromEnvironment();
  start(StaticOrigin::Kind::kUrl,
        from.url.empty() ? nullptr : NewStaticPodUrl(loop, runtime.tasks(), std::move(from), config.node_name));
  return sources;
}

}  // namespace

absl::Status RunNodeAgent(Config config) {
  kube::Loop loop;
  Metrics metrics;
  metrics.Set(Series::kNodeName, 1, {{"node", config.node_name}});
  metrics.Set(Series::kBuildInfo, 1, {{"version", kVersion}});
  metrics.Set(Series::kKubernetesBuildInfo, 1,
              {{"git_version", kKubernetesVersion},
               {"major", "1"},
               {"minor", "37"},
               {"platform", "linux/amd64"},
               {"compiler", "clang"}});
  ASSIGN_OR_RETURN(NodeIdentity identity, EstablishIdentity(config, metrics));
  MeterClient(metrics, identity.client);
  ASSIGN_OR_RETURN(auto client, kube::NewClient(loop, identity.client));
  NodeCertificates certificates(loop, *client, config, std::move(identity), metrics);
  const NodeStatusConfig node_config = MakeNodeStatusConfig(config);
  ASSIGN_OR_RETURN(NodeInfo node, MeasureNode(node_config));

  auto events = kube::NewEventRecorder(*client, loop, node.name);
  auto watches = kube::NewObjectWatch(*client, loop);
  std::unique_ptr<NodeController> controller;
  const auto node_uid = [&controller] {
    const auto current = controller == nullptr ? nullptr : controller->current();
    return current == nullptr ? std::string() : current->metadata.uid;
  };
  kube::WorkerPool key_pool(1);  // long primes are rare, and nobody else should wait for them
  kube::TaskGroup side_tasks(loop);
  TrustBundles trust(*client, loop, side_tasks);
  PodCertificatesConfig pod_certificates_config;
  pod_certificates_config.node_name = node.name;
  pod_certificates_config.node_uid = node_uid;
  PodCertificates pod_certificates(*client, loop, key_pool, side_tasks, *events, std::move(pod_certificates_config));
  auto objects = NewApiObjectSource(*client, loop, *watches, trust, pod_certificates);
  auto sink = NewApiStatusSink(*client);
  StaticPods static_pods(*client, loop, side_tasks, *sink, node.name, node_uid);
  ServiceCache services;
  const auto admit = [&](const kube::Pod& pod, std::vector<std::shared_ptr<const kube::Pod>> active) {
    const auto current = controller->current();
    static const std::map<std::string, std::string> no_labels;
    static const std::vector<kube::Taint> no_taints;
    AdmissionContext context{node,
                             current ? current->metadata.labels : node.labels,
                             current ? current->spec.taints : no_taints,
                             std::move(active),
                             {""},
                             config.allowed_unsafe_sysctls,
                             sandbox::AppArmorEnabled()};
    return Admit(pod, context);
  };
  ASSIGN_OR_RETURN(auto runtime,
                   PodRuntime::Open(config, node,
                                    {loop, *objects, *events, static_pods, metrics, admit,
                                     [&services](const std::string& name_space) { return services.For(name_space); }}));
  const auto objects_changed = [&](const std::string& owner) { runtime->workers().ObjectsChanged(owner); };
  watches->OnChange(objects_changed);
  trust.OnChange(objects_changed);
  pod_certificates.OnChange(objects_changed);

  auto handlers = MakeKubeletHandlers(loop, *runtime, client.get(), metrics, config, node);
  handlers.metrics = [&loop, &certificates, inner = std::move(handlers.metrics)](kube::Reply<std::string> reply) {
    loop.Post([&certificates, inner, reply = std::move(reply)] {
      certificates.Publish();
      inner(reply);
    });
  };
  ASSIGN_OR_RETURN(auto server, StartServer(config, node, certificates, std::move(handlers)));
  // Not before: what ends the agent is told in one line.
  Info("Started", {{"version", kVersion}, {"node", config.node_name}, {"rootDir", config.root_dir}});
  node.kubelet_port = server->port();
  NodeStartup startup(metrics, BootTime(), ProcessStartTime());
  NodeControllerConfig controller_config = MakeNodeControllerConfig(config);
  controller_config.startup = &startup;
  controller = NewNodeController(*client, loop, runtime->tasks(), node, controller_config,
                                 ConditionsOf(node_config, *runtime), events.get());
  static_pods.Use(runtime->workers(), runtime->statuses());
  runtime->workers().OnDone([&static_pods] { static_pods.WorkerDone(); });
  controller->Start();
  runtime->OnNetworkChange([&controller] { controller->Refresh(); });
  const auto static_sources = StartStaticPods(config, loop, *runtime, static_pods);
  certificates.Start(runtime->tasks(), *server, [&controller] {
    const auto current = controller->current();
    return current ? current->status.addresses : std::vector<kube::NodeAddress>();
  });
  controller->WhenRegistered([&static_pods, &certificates] {
    static_pods.NodeRegistered();
    certificates.Wake();
  });

  kube::CancelToken cancel;
  kube::TaskGroup watchers(loop);
  watchers.Spawn("watch pods", kube::RunReflector(*client, loop, "pods", "/api/v1/pods",
                                                  absl::StrCat("fieldSelector=spec.nodeName%3D", node.name),
                                                  PodHandlers(runtime->workers(), static_pods), cancel));
  watchers.Spawn("watch services", kube::RunReflector(*client, loop, "services", "/api/v1/services", "",
                                                      ServiceHandlers(services), cancel));
  boost::asio::signal_set signals(loop.context(), SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code& error, int number) {
    if (error) return;
    Info("Stopping; pods run on", {{"signal", number}});
    certificates.Stop();
    watchers.Spawn("stop", StopAll(loop, *controller, *events, *server, cancel));
  });
  Info("Ready", {{"port", static_cast<int>(node.kubelet_port)}});
  loop.Run();
  // Crash-only: what a kill -9 may leave undone, a clean stop may as well. Coroutines that still wait (for pods that
  // run on) are not unwound.
  StopLog();
  std::_Exit(0);
}

}  // namespace burstlet::provider
