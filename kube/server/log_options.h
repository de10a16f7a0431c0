// The query of /containerLogs as options, decoded and validated like v1.PodLogOptions.
//
// Pure. Failure is the refusal to send: 400 for what can't be decoded, 422 for what makes no sense.
// Source: pkg/kubelet/server/server.go getContainerLogs, pkg/apis/core/validation ValidatePodLogOptions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "kube/server/http_message.h"
#include "kube/server/kubelet_server.h"

namespace burstlet::kube {

/// `now_unix_nanos` is what sinceSeconds counts back from.
std::optional<HttpResponse> ParseLogOptions(const HttpRequest& request, std::int64_t now_unix_nanos,
                                            LogOptions* options);

/// RFC 3339 with up to nine fractional digits and a zone, as nanoseconds since 1970. Nothing when malformed.
std::optional<std::int64_t> ParseRfc3339Nanos(std::string_view text);

}  // namespace burstlet::kube
