#include "provider/prober/grpc_runner.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/prober/dialer.h"
#include "provider/prober/grpc_call.h"

namespace burstlet::provider {
namespace {

using boost::asio::ip::tcp;

constexpr std::uint64_t kServing = 1;

std::string StatusName(std::uint64_t status) {
  static constexpr const char* kNames[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  return status < std::size(kNames) ? kNames[status] : std::to_string(status);
}

ProbeOutcome Failure(std::string output) {
  if (output.size() > kMaxProbeOutput) output.resize(kMaxProbeOutput);
  return {ProbeResult::kFailure, std::move(output)};
}

ProbeOutcome NotConnected(const GrpcProbe& probe, bool timed_out, const std::string& why) {
  const std::string address = JoinHostPort(probe.host, probe.port);
  if (timed_out) {
    return Failure(absl::StrCat("timeout: failed to connect service \"", address, "\" within ", probe.timeout.count(),
                                "s: context deadline exceeded"));
  }
  return Failure(absl::StrCat("error: failed to connect service at \"", address, "\": ", why));
}

ProbeOutcome FailedCall(const GrpcProbe& probe, const GrpcCall& call, bool timed_out) {
  if (!call.ready()) return NotConnected(probe, timed_out, call.error());
  if (timed_out || call.code() == GrpcCode::kDeadlineExceeded)
    return Failure(absl::StrCat("timeout: health rpc did not complete within ", probe.timeout.count(), "s"));
  if (call.code() == GrpcCode::kUnimplemented) {
    return Failure(absl::StrCat(
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ", call.error()));
  }
  return Failure(absl::StrCat("error: health rpc probe failed: ", call.error()));
}

ProbeOutcome Answered(const std::string& message) {
  const auto status = ParseHealthStatus(message);
  if (!status) return Failure("error: health rpc probe failed: the answer is no HealthCheckResponse");
  if (*status != kServing)
    return Failure(absl::StrCat("service unhealthy (responded with \"", StatusName(*status), "\")"));
  return {ProbeResult::kSuccess, "service healthy"};
}

/// Until the call is done or the connection ends, which the guard can make it do.
kube::Task<void> Exchange(tcp::socket& socket, GrpcCall& call) {
  std::array<char, 4096> buffer;
  while (!call.done()) {
    const std::string output = call.TakeOutput();
    boost::system::error_code error;
    if (!output.empty()) {
      co_await boost::asio::async_write(socket, boost::asio::buffer(output),
                                        boost::asio::redirect_error(boost::asio::use_awaitable, error));
    }
    std::size_t size = 0;
    if (!error && !call.done()) {
      size = co_await socket.async_read_some(boost::asio::buffer(buffer),
                                             boost::asio::redirect_error(boost::asio::use_awaitable, error));
    }
    if (error) {
      call.Closed(error == boost::asio::error::eof ? "the server closed the connection" : error.message());
    } else {
      call.Feed({buffer.data(), size});
    }
  }
}

}  // namespace

kube::Task<ProbeOutcome> RunGrpcProbe(kube::Loop& loop, GrpcProbe probe, std::shared_ptr<ProbeGuard> guard) {
  // Each look is a connection of its own, as the kubelet's: a server that takes no new ones has failed.
  auto dialed = co_await Dial(loop, probe.host, probe.port, guard);
  if (!dialed.ok()) {
    guard->OnEnd({});
    co_return NotConnected(probe, guard->timed_out(), std::string(dialed.status().message()));
  }
  const std::shared_ptr<tcp::socket> socket = *dialed;
  GrpcCall::Request request;
  request.authority = JoinHostPort(probe.host, probe.port);
  request.path = "/grpc.health.v1.Health/Check";
  request.message = EncodeHealthRequest(probe.service);
  request.user_agent = "kube-probe/1.37";
  request.timeout =
      std::chrono::duration_cast<std::chrono::milliseconds>(guard->deadline() - kube::SteadyTime::clock::now());
  GrpcCall call(std::move(request));
  co_await Exchange(*socket, call);
  guard->OnEnd({});
  if (call.code() == GrpcCode::kOk) co_return Answered(call.message());
  co_return FailedCall(probe, call, guard->timed_out());
}

}  // namespace burstlet::provider
