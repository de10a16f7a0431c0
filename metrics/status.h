// Errors as values: absl::Status everywhere, with two payloads of our own.
//
// A failure that ends up in front of a user has the kubelet's one-word *reason* ("ErrImagePull",
// "CreateContainerConfigError"). It is attached where the cause is known and travels with the status
// through every layer; one place at the top maps it to a waiting state, an event and a label.
// Threads: any. Nothing here throws or blocks.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace burstlet {

/// Prefixes `context` ("doing what to which object: ") to the message; code and payloads are kept.
absl::Status Annotate(absl::Status status, std::string_view context);

/// Attaches a kubelet reason word. The first reason wins: it was set nearest to the cause.
absl::Status WithReason(absl::Status status, std::string_view reason);

/// A new status of `code` with a reason.
absl::Status ReasonError(absl::StatusCode code, std::string_view reason, std::string_view message);

/// The attached reason, or `fallback`.
std::string ReasonOf(const absl::Status& status, std::string_view fallback = "");

/// The errno a failed system call left, as a status: "what: strerror". ENOENT, EEXIST, EACCES, EPERM,
/// ENOSPC, EDQUOT, ENOMEM, EBUSY, EAGAIN, ETIMEDOUT, EINTR and ENOSYS map to their canonical codes, others to
/// kInternal. The number is kept (see ErrnoOf).
absl::Status ErrnoError(int error_number, std::string_view what);

/// The errno kept by ErrnoError, or 0.
int ErrnoOf(const absl::Status& status);

/// For the rare place where going on is right: logs `status` as an error when it is one.
void LogIfError(const absl::Status& status, std::string_view what);

namespace status_internal {
inline absl::Status ToStatus(absl::Status status) { return status; }
template <typename T>
absl::Status ToStatus(const absl::StatusOr<T>& value) {
  return value.status();
}
}  // namespace status_internal

}  // namespace burstlet

#define BURSTLET_CONCAT_INNER(a, b) a##b
#define BURSTLET_CONCAT(a, b) BURSTLET_CONCAT_INNER(a, b)

/// Returns from the function when `expr` (Status or StatusOr) is an error.
#define RETURN_IF_ERROR(expr)                                                        \
  do {                                                                               \
    ::absl::Status burstlet_status_ = ::burstlet::status_internal::ToStatus((expr)); \
    if (!burstlet_status_.ok()) return burstlet_status_;                             \
  } while (false)

/// `ASSIGN_OR_RETURN(auto x, F());`: unwraps a StatusOr or returns its error.
#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_INNER(BURSTLET_CONCAT(status_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                           \
  if (!tmp.ok()) return tmp.status();          \
  lhs = std::move(tmp).value()

/// The coroutine twins. `expr` may hold one co_await.
#define CO_RETURN_IF_ERROR(expr)                                                     \
  do {                                                                               \
    ::absl::Status burstlet_status_ = ::burstlet::status_internal::ToStatus((expr)); \
    if (!burstlet_status_.ok()) co_return burstlet_status_;                          \
  } while (false)

#define CO_ASSIGN_OR_RETURN(lhs, expr) CO_ASSIGN_OR_RETURN_INNER(BURSTLET_CONCAT(status_or_, __LINE__), lhs, expr)
#define CO_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  if (!tmp.ok()) co_return tmp.status();          \
  lhs = std::move(tmp).value()
