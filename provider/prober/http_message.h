// The few HTTP/1.1 messages that probes and hooks need, as text: no sockets here.
//
// HttpResponseReader meets bytes that a container chose: it is bounded in all it keeps and never looks back. Threads:
// any. Sources: pkg/probe/http/request.go, net/http, RFC 9112.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/api/pod.h"

namespace burstlet::provider {

/// What to ask, and whom.
struct HttpRequest {
  std::string scheme;  // "http" or "https"
  std::string host;    // an address or a name, no brackets
  int port = 0;
  std::string target;                                       // "/healthz?full", escaped
  std::string host_header;                                  // empty: host and port
  std::map<std::string, std::vector<std::string>> headers;  // canonical names

  std::string Url() const;
  std::string Text() const;
};

/// A port by number or by the container's name for it, as pkg/probe/util.go. kInvalidArgument: there is none.
absl::StatusOr<int> ResolvePort(const kube::IntOrString& port, const kube::Container& container);

/// `purpose` is "probe" or "lifecycle", told in the User-Agent.
absl::StatusOr<HttpRequest> MakeHttpRequest(const kube::HTTPGetAction& action, const kube::Container& container,
                                            const std::string& pod_ip, const std::string& purpose);

/// The request that a Location header leads to; nullopt when it cannot be understood.
std::optional<HttpRequest> FollowLocation(const HttpRequest& from, const std::string& location);

class HttpResponseReader {
 public:
  enum class State { kMore, kDone, kBad };

  /// More bytes of the connection. After kDone or kBad further bytes are ignored.
  State Feed(std::string_view bytes);
  /// The peer has closed.
  State Close();

  State state() const { return state_; }
  bool head_complete() const { return status_ != 0; }
  int status() const { return status_; }
  /// The first Location header.
  const std::optional<std::string>& location() const { return location_; }
  /// At most kMaxProbeOutput bytes of it.
  const std::string& body() const { return body_; }
  /// Why it is kBad.
  const std::string& error() const { return error_; }

 private:
  enum class Body { kLength, kChunks, kUntilClose };
  enum class Chunk { kSize, kData, kDataEnd, kTrailer };
  State Bad(std::string why);
  State ParseHead();
  bool ParseStatusLine(std::string_view line);
  State ReadBody();
  State ReadChunks();
  bool ReadChunkSize();
  void Keep(std::size_t bytes);

  State state_ = State::kMore;
  std::string input_;  // not looked at yet
  int status_ = 0;
  std::optional<std::string> location_;
  Body kind_ = Body::kUntilClose;
  Chunk chunk_ = Chunk::kSize;
  std::uint64_t left_ = 0;  // of the body, or of the chunk
  std::string body_;
  std::string error_;
};

}  // namespace burstlet::provider
