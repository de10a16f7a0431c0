// Fuzzes what a probed server's bytes go through: HTTP/2 (nghttp2's), gRPC's answer on it, the health message.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "provider/prober/grpc_call.h"
#include "provider/prober/grpc_runner.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  burstlet::provider::GrpcCall call({"10.0.0.7:80", "/grpc.health.v1.Health/Check", "", "fuzz", {}});
  // A well-formed start on every other input, so that what follows finds a session to act on.
  if ((data[0] & 0x80) != 0) call.Feed(std::string_view("\0\0\0\4\0\0\0\0\0", 9));
  const std::size_t piece = (data[0] & 0x7FU) + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (std::size_t at = 0; at < bytes.size() && !call.done(); at += piece) {
    (void)call.TakeOutput();
    call.Feed(bytes.substr(at, piece));
  }
  call.Closed("end");
  (void)burstlet::provider::ParseHealthStatus(call.message());
  (void)burstlet::provider::ParseHealthStatus(bytes);
  return 0;
}
