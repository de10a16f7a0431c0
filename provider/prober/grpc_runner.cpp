#include "provider/prober/grpc_runner.h"

#include <grpc/support/log.h>
#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/async/signal_event.h"
#include "metrics/log.h"
#include "provider/prober/dialer.h"

namespace burstlet::provider {
namespace {

constexpr std::uint64_t kServing = 1;

struct Call {
  explicit Call(kube::Loop& loop) : done(loop) {}
  grpc::ClientContext context;
  grpc::ByteBuffer request, response;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<grpc::GenericStub> stub;
  kube::SignalEvent done;  // loop thread
  grpc::Status status;
};

/// gRPC's own remarks go to our log, and only when somebody wants to hear them.
void LogRemark(gpr_log_func_args* remark) { V(6, "gRPC", {{"message", std::string(remark->message)}}); }

std::shared_ptr<grpc::Channel> OpenChannel(const GrpcProbe& probe) {
  [[maybe_unused]] static const bool quiet = [] {
    gpr_set_log_function(LogRemark);
    return true;
  }();
  grpc::ChannelArguments arguments;
  arguments.SetUserAgentPrefix("kube-probe/1.37");
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Each look is a connection of its own, as the kubelet's: a server that takes no new ones has failed.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(kMaxProbeOutput));
  const char* family = probe.host.find(':') == std::string::npos ? "ipv4:" : "ipv6:";
  return grpc::CreateCustomChannel(absl::StrCat(family, JoinHostPort(probe.host, probe.port)),
                                   grpc::InsecureChannelCredentials(), arguments);
}

void Start(kube::Loop& loop, const GrpcProbe& probe, std::chrono::milliseconds left,
           const std::shared_ptr<Call>& call) {
  const std::string bytes = EncodeHealthRequest(probe.service);
  const grpc::Slice slice(bytes);
  call->request = grpc::ByteBuffer(&slice, 1);
  call->context.set_deadline(std::chrono::system_clock::now() + left);
  call->channel = OpenChannel(probe);
  call->stub = std::make_unique<grpc::GenericStub>(call->channel);
  call->stub->UnaryCall(&call->context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &call->request,
                        &call->response, [&loop, call](grpc::Status status) mutable {
                          // No reference may stay here: the last one ends the channel, which
                          // must not happen on gRPC's own thread (it would wait for itself).
                          loop.Post([call = std::move(call), status = std::move(status)] {
                            call->status = status;
                            call->done.Set();
                          });
                        });
}

std::string StatusName(std::uint64_t status) {
  static constexpr const char* kNames[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  return status < std::size(kNames) ? kNames[status] : std::to_string(status);
}

ProbeOutcome Failure(std::string output) {
  if (output.size() > kMaxProbeOutput) output.resize(kMaxProbeOutput);
  return {ProbeResult::kFailure, std::move(output)};
}

ProbeOutcome FailedCall(const GrpcProbe& probe, const grpc::Status& status, bool connected) {
  const std::string address = JoinHostPort(probe.host, probe.port);
  const std::string within = absl::StrCat(probe.timeout.count(), "s");
  switch (status.error_code()) {
    case grpc::StatusCode::UNIMPLEMENTED:
      return Failure(
          absl::StrCat("error: this server does not implement the grpc health protocol "
                       "(grpc.health.v1.Health): ",
                       status.error_message()));
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      if (connected) return Failure(absl::StrCat("timeout: health rpc did not complete within ", within));
      return Failure(absl::StrCat("timeout: failed to connect service \"", address, "\" within ", within,
                                  ": context deadline exceeded"));
    default:
      if (!connected)
        return Failure(absl::StrCat("error: failed to connect service at \"", address, "\": ", status.error_message()));
      return Failure(absl::StrCat("error: health rpc probe failed: ", status.error_message()));
  }
}

ProbeOutcome Answered(const grpc::ByteBuffer& response) {
  std::vector<grpc::Slice> slices;
  if (!response.Dump(&slices).ok()) return Failure("error: health rpc probe failed: the answer can't be read");
  std::string message;
  for (const grpc::Slice& slice : slices) message.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  const auto status = ParseHealthStatus(message);
  if (!status) return Failure("error: health rpc probe failed: the answer is no HealthCheckResponse");
  if (*status != kServing)
    return Failure(absl::StrCat("service unhealthy (responded with \"", StatusName(*status), "\")"));
  return {ProbeResult::kSuccess, "service healthy"};
}

}  // namespace

kube::Task<ProbeOutcome> RunGrpcProbe(kube::Loop& loop, GrpcProbe probe, std::shared_ptr<ProbeGuard> guard) {
  auto call = std::make_shared<Call>(loop);
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(guard->deadline() - kube::SteadyTime::clock::now());
  Start(loop, probe, left, call);
  guard->OnEnd([call] { call->context.TryCancel(); });
  co_await call->done.Wait();
  guard->OnEnd({});
  const bool connected = call->channel->GetState(false) == GRPC_CHANNEL_READY;
  if (call->status.ok()) co_return Answered(call->response);
  grpc::Status status = call->status;
  if (guard->timed_out()) status = grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "");
  co_return FailedCall(probe, status, connected);
}

}  // namespace burstlet::provider
