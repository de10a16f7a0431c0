// The other core objects that a node reads or writes.
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

struct ConfigMap {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  std::optional<bool> immutable;
  std::map<std::string, std::string> data;
  std::map<std::string, Bytes> binaryData;
};
BURSTLET_API_FIELDS(ConfigMap, (metadata), apiVersion, kind, immutable, data, binaryData);

struct Secret {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  std::optional<bool> immutable;
  std::map<std::string, Bytes> data;
  std::map<std::string, std::string> stringData;
  std::string type;
};
BURSTLET_API_FIELDS(Secret, (metadata), apiVersion, kind, immutable, data, stringData, type);

struct ObjectReference {
  std::string kind;
  std::string namespace_;
  std::string name;
  std::string uid;
  std::string apiVersion;
  std::string resourceVersion;
  std::string fieldPath;
};
BURSTLET_API_FIELDS(ObjectReference, (), kind, namespace_, name, uid, apiVersion, resourceVersion, fieldPath);

struct EventSource {
  std::string component;
  std::string host;
};
BURSTLET_API_FIELDS(EventSource, (), component, host);

struct EventSeries {
  std::int32_t count = 0;
  MicroTime lastObservedTime;
};
BURSTLET_API_FIELDS(EventSeries, (), count, lastObservedTime);

struct Event {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  ObjectReference involvedObject;
  std::string reason;
  std::string message;
  EventSource source;
  Time firstTimestamp;
  Time lastTimestamp;
  std::int32_t count = 0;
  std::string type;
  MicroTime eventTime;
  std::optional<EventSeries> series;
  std::string action;
  std::optional<ObjectReference> related;
  std::string reportingComponent;
  std::string reportingInstance;
};
BURSTLET_API_FIELDS(Event, (metadata, involvedObject, reportingComponent, reportingInstance), apiVersion, kind, reason,
                    message, source, firstTimestamp, lastTimestamp, count, type, eventTime, series, action, related);

struct ServicePort {
  std::string name;
  std::string protocol;
  std::optional<std::string> appProtocol;
  std::int32_t port = 0;
  IntOrString targetPort;
  std::int32_t nodePort = 0;
};
BURSTLET_API_FIELDS(ServicePort, (port), name, protocol, appProtocol, targetPort, nodePort);

struct ClientIPConfig {
  std::optional<std::int32_t> timeoutSeconds;
};
BURSTLET_API_FIELDS(ClientIPConfig, (), timeoutSeconds);

struct SessionAffinityConfig {
  std::optional<ClientIPConfig> clientIP;
};
BURSTLET_API_FIELDS(SessionAffinityConfig, (), clientIP);

struct ServiceSpec {
  std::vector<ServicePort> ports;
  std::map<std::string, std::string> selector;
  std::string clusterIP;
  std::vector<std::string> clusterIPs;
  std::string type;
  std::vector<std::string> externalIPs;
  std::string sessionAffinity;
  std::string loadBalancerIP;
  std::vector<std::string> loadBalancerSourceRanges;
  std::string externalName;
  std::string externalTrafficPolicy;
  std::int32_t healthCheckNodePort = 0;
  bool publishNotReadyAddresses = false;
  std::optional<SessionAffinityConfig> sessionAffinityConfig;
  std::vector<std::string> ipFamilies;
  std::optional<std::string> ipFamilyPolicy;
  std::optional<bool> allocateLoadBalancerNodePorts;
  std::optional<std::string> loadBalancerClass;
  std::optional<std::string> internalTrafficPolicy;
  std::optional<std::string> trafficDistribution;
};
BURSTLET_API_FIELDS(ServiceSpec, (), ports, selector, clusterIP, clusterIPs, type, externalIPs, sessionAffinity,
                    loadBalancerIP, loadBalancerSourceRanges, externalName, externalTrafficPolicy, healthCheckNodePort,
                    publishNotReadyAddresses, sessionAffinityConfig, ipFamilies, ipFamilyPolicy,
                    allocateLoadBalancerNodePorts, loadBalancerClass, internalTrafficPolicy, trafficDistribution);

struct PortStatus {
  std::int32_t port = 0;
  std::string protocol;
  std::optional<std::string> error;
};
BURSTLET_API_FIELDS(PortStatus, (port, protocol), error);

struct LoadBalancerIngress {
  std::string ip;
  std::string hostname;
  std::optional<std::string> ipMode;
  std::vector<PortStatus> ports;
};
BURSTLET_API_FIELDS(LoadBalancerIngress, (), ip, hostname, ipMode, ports);

struct LoadBalancerStatus {
  std::vector<LoadBalancerIngress> ingress;
};
BURSTLET_API_FIELDS(LoadBalancerStatus, (), ingress);

struct ServiceStatus {
  LoadBalancerStatus loadBalancer;
  std::vector<RawJson> conditions;
};
BURSTLET_API_FIELDS(ServiceStatus, (), loadBalancer, conditions);

struct Service {
  std::string apiVersion;
  std::string kind;
  ObjectMeta metadata;
  ServiceSpec spec;
  ServiceStatus status;
};
BURSTLET_API_FIELDS(Service, (metadata), apiVersion, kind, spec, status);

}  // namespace burstlet::kube
