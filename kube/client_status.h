// Errors of the API server as Status values: the HTTP code, the server's reason and its causes travel as payloads.
//
// Threads: any.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "kube/client.h"

namespace burstlet::kube {

/// OK below 300, else the error that client.h documents; `body` is a metav1.Status or any text. For Client bodies.
absl::Status StatusOfResponse(int code, const std::string& body, std::chrono::milliseconds retry_after);

/// metav1.Status.reason ("AlreadyExists", "Conflict", "Expired"), or "".
std::string ApiReasonOf(const absl::Status& status);

/// Whether the server names this among the causes ("NamespaceTerminating").
bool HasApiCause(const absl::Status& status, std::string_view cause);

}  // namespace burstlet::kube
