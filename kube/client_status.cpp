#include "kube/client_status.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kube/json.h"

namespace burstlet::kube {
namespace {

constexpr char kHttpCodeUrl[] = "burstlet.io/http-code";
constexpr char kRetryAfterUrl[] = "burstlet.io/retry-after-ms";
constexpr char kReasonUrl[] = "burstlet.io/api-reason";
constexpr char kCausesUrl[] = "burstlet.io/api-causes";
constexpr std::size_t kMaxPlainMessage = 512;

absl::StatusCode CodeOf(int code, const std::string& reason) {
  switch (code) {
    case 400:
    case 406:
    case 413:
    case 415:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 405:
      return absl::StatusCode::kUnimplemented;
    case 409:
      return reason == "AlreadyExists" ? absl::StatusCode::kAlreadyExists : absl::StatusCode::kAborted;
    case 410:
      return absl::StatusCode::kOutOfRange;
    case 429:
    case 502:
    case 503:
      return absl::StatusCode::kUnavailable;
    case 504:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return absl::StatusCode::kInternal;
  }
}

std::string Payload(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  return payload ? std::string(*payload) : std::string();
}

std::int64_t NumberPayload(const absl::Status& status, const char* url) {
  std::int64_t value = 0;
  if (!absl::SimpleAtoi(Payload(status, url), &value)) value = 0;
  return value;
}

}  // namespace

absl::Status StatusOfResponse(int code, const std::string& body, std::chrono::milliseconds retry_after) {
  if (code >= 200 && code < 300) return absl::OkStatus();
  ApiStatus answer;
  // A proxy in between answers in its own words; those are shown as they are.
  if (auto decoded = Decode<ApiStatus>(body); decoded.ok() && decoded->kind == "Status") answer = *std::move(decoded);
  std::string message = answer.message;
  if (message.empty())
    message = absl::StrCat("HTTP ", code, body.empty() ? "" : ": ", body.substr(0, kMaxPlainMessage));
  absl::Status status(CodeOf(code, answer.reason), message);
  status.SetPayload(kHttpCodeUrl, absl::Cord(absl::StrCat(code)));
  if (!answer.reason.empty()) status.SetPayload(kReasonUrl, absl::Cord(answer.reason));
  if (answer.details) {
    if (retry_after.count() == 0) retry_after = std::chrono::seconds(answer.details->retryAfterSeconds);
    std::string causes;
    for (const StatusCause& cause : answer.details->causes) absl::StrAppend(&causes, cause.reason, "\n");
    if (!causes.empty()) status.SetPayload(kCausesUrl, absl::Cord(causes));
  }
  if (retry_after.count() > 0) status.SetPayload(kRetryAfterUrl, absl::Cord(absl::StrCat(retry_after.count())));
  return status;
}

int HttpCodeOf(const absl::Status& status) { return static_cast<int>(NumberPayload(status, kHttpCodeUrl)); }

std::chrono::milliseconds RetryAfterOf(const absl::Status& status) {
  return std::chrono::milliseconds(NumberPayload(status, kRetryAfterUrl));
}

std::string ApiReasonOf(const absl::Status& status) { return Payload(status, kReasonUrl); }

bool HasApiCause(const absl::Status& status, std::string_view cause) {
  const std::string causes = "\n" + Payload(status, kCausesUrl);
  return causes.find("\n" + std::string(cause) + "\n") != std::string::npos;
}

}  // namespace burstlet::kube
