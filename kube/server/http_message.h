// HTTP/1.1 requests and responses as plain data, and the text rules around them.
//
// No I/O: bytes are parsed by kube/server/connection.cpp (Beast), what they mean is decided here. Threads: any.
// Failure: malformed targets are kInvalidArgument; nothing throws.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace burstlet::kube {

struct HttpRequest {
  std::string method;
  std::string path;                                        // percent-decoded
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // 64 KiB at most
  bool http_1_0 = false;

  /// The first value of a header, or "". Names compare without case.
  std::string Header(std::string_view name) const;
  /// All values of a header, split at commas and trimmed (RFC 9110 section 5.6.1).
  std::vector<std::string> HeaderTokens(std::string_view name) const;
  /// The first value of a query parameter, or "".
  std::string Query(std::string_view name) const;
  bool HasQuery(std::string_view name) const;
  std::vector<std::string> QueryAll(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

/// Splits a request target ("/exec/a/b?command=ls") into decoded path and query. Only the origin form is taken.
absl::Status ParseTarget(std::string_view target, HttpRequest* request);

/// Percent-decoding; `plus_is_space` in queries. Nothing on a malformed escape.
bool PercentDecode(std::string_view text, bool plus_is_space, std::string* out);

/// Status line and headers. With `chunked` no Content-Length is written; `close` announces the end of the connection.
std::string SerializeHead(const HttpResponse& response, bool chunked, bool close);

/// One chunk of a chunked body. Empty data is no chunk (it would end the body).
std::string EncodeChunk(std::string_view data);

std::string_view ReasonPhrase(int status);
bool EqualsIgnoreCase(std::string_view a, std::string_view b);
std::string ToLower(std::string_view text);

/// The HTTP status of an error from a handler (the contract of kubelet_server.h).
int HttpStatusOf(const absl::Status& status);
HttpResponse TextResponse(int status, std::string body);
HttpResponse ErrorResponse(const absl::Status& status);

}  // namespace burstlet::kube
