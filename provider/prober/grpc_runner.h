// grpc: asks a server's health service, grpc.health.v1.Health/Check, and goes by its answer.
//
// Source: pkg/probe/grpc/grpc.go; the service: grpc/health/v1/health.proto. Loop thread only. Takes
// until the guard fires at most.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kube/async/task.h"
#include "provider/prober/guard.h"
#include "provider/prober/outcome.h"

namespace burstlet::provider {

struct GrpcProbe {
  std::string host;  // an address
  int port = 0;
  std::string service;              // may be empty: the server as a whole
  std::chrono::seconds timeout{1};  // as the guard's, for messages
};

kube::Task<ProbeOutcome> RunGrpcProbe(kube::Loop& loop, GrpcProbe probe, std::shared_ptr<ProbeGuard> guard);

/// The bytes of a HealthCheckRequest.
std::string EncodeHealthRequest(const std::string& service);
/// The field `status` of a HealthCheckResponse, 0 when it is left out; nullopt for what is no protobuf message.
std::optional<std::uint64_t> ParseHealthStatus(std::string_view message);

}  // namespace burstlet::provider
