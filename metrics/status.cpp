#include "metrics/status.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "metrics/log.h"

namespace burstlet {
namespace {

constexpr char kReasonUrl[] = "burstlet.io/reason";
constexpr char kErrnoUrl[] = "burstlet.io/errno";

absl::StatusCode CodeOf(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return absl::StatusCode::kResourceExhausted;
    case EBUSY:
    case EAGAIN:
    case EINTR:
      return absl::StatusCode::kUnavailable;
    case ETIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    case ENOSYS:
    case EOPNOTSUPP:
      return absl::StatusCode::kUnimplemented;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status Annotate(absl::Status status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status out(status.code(), absl::StrCat(std::string(context), ": ", status.message()));
  status.ForEachPayload([&out](absl::string_view url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

absl::Status WithReason(absl::Status status, std::string_view reason) {
  if (!status.ok() && !status.GetPayload(kReasonUrl)) status.SetPayload(kReasonUrl, absl::Cord(std::string(reason)));
  return status;
}

absl::Status ReasonError(absl::StatusCode code, std::string_view reason, std::string_view message) {
  return WithReason(absl::Status(code, std::string(message)), reason);
}

std::string ReasonOf(const absl::Status& status, std::string_view fallback) {
  const auto payload = status.GetPayload(kReasonUrl);
  return payload ? std::string(*payload) : std::string(fallback);
}

absl::Status ErrnoError(int error_number, std::string_view what) {
  char buffer[128];
  const char* text = strerror_r(error_number, buffer, sizeof(buffer));
  absl::Status status(CodeOf(error_number), absl::StrCat(std::string(what), ": ", text));
  status.SetPayload(kErrnoUrl, absl::Cord(absl::StrCat(error_number)));
  return status;
}

int ErrnoOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrnoUrl);
  int value = 0;
  if (payload && !absl::SimpleAtoi(std::string(*payload), &value)) value = 0;
  return value;
}

void LogIfError(const absl::Status& status, std::string_view what) {
  if (!status.ok()) Error(what, {{"err", std::string(status.message())}});
}

}  // namespace burstlet
