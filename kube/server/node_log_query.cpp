#include "kube/server/node_log_query.h"

#include <algorithm>
#include <charconv>

#include "kube/server/log_options.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
constexpr std::int64_t kMaxTailLines = 100'000;
constexpr std::size_t kMaxServices = 4;
constexpr std::size_t kMaxServiceLength = 256;

/// Complaints of one kind, all of them told at once.
class Complaints {
 public:
  void Invalid(const std::string& option, const std::string& value, const std::string& why) {
    Say(option + ": Invalid value: \"" + value + "\": " + why);
  }
  void Say(std::string text) { texts_.push_back(std::move(text)); }
  bool none() const { return texts_.empty(); }
  std::string Text() const {
    if (texts_.size() == 1) return texts_.front();
    std::string all;
    for (const std::string& text : texts_) all.append(all.empty() ? "[" : ", ").append(text);
    return all + "]";
  }

 private:
  std::vector<std::string> texts_;
};

void TakeTime(const HttpRequest& request, const char* name, std::optional<std::int64_t>* out, Complaints* wrong) {
  const std::string text = request.Query(name);
  if (text.empty()) return;
  const std::optional<std::int64_t> nanos = ParseRfc3339Nanos(text);
  if (nanos.has_value()) {
    *out = *nanos / kNanos;
  } else {
    wrong->Invalid(name, text, "must be a time as in RFC 3339, such as 2026-01-31T10:00:00Z");
  }
}

void TakeNumber(const HttpRequest& request, const char* name, std::optional<std::int64_t>* out, Complaints* wrong) {
  const std::string text = request.Query(name);
  if (text.empty()) return;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) {
    *out = value;
  } else {
    wrong->Invalid(name, text, "must be a whole number");
  }
}

bool Blank(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); });
}

bool SafeName(const std::string& service) {
  return std::all_of(service.begin(), service.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.:@").find(c) != std::string_view::npos;
  });
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : ", ").append(word);
  return text;
}

void CheckSources(const NodeLogQuery& query, const std::vector<std::string>& files, Complaints* wrong) {
  for (const std::string& service : query.services) {
    if (service.size() > kMaxServiceLength) {
      wrong->Invalid("query", service, "must be no longer than " + std::to_string(kMaxServiceLength) + " characters");
    } else if (!SafeName(service)) {
      wrong->Invalid("query", service, "may have letters, digits and - _ . : @ only");
    }
  }
  if (query.services.size() > kMaxServices) {
    wrong->Say("query: Too many: " + std::to_string(query.services.size()) + ": must have at most " +
               std::to_string(kMaxServices) + " items");
  }
  if (files.empty() && query.services.empty()) {
    wrong->Say("query: Required value: cannot be empty with options");
  } else if (!files.empty() && !query.services.empty()) {
    wrong->Invalid("query", Joined(files) + ", " + Joined(query.services), "cannot name a file and a service");
  } else if (files.size() > 1) {
    wrong->Invalid("query", Joined(files), "cannot name more than one file");
  } else if (files.size() == 1 && query.has_options()) {
    wrong->Invalid("query", files[0], "options are for services, not for a file");
  }
}

void CheckOptions(const NodeLogQuery& query, const HttpRequest& request, Complaints* wrong) {
  if (query.since_time.has_value() && query.until_time.has_value() && *query.since_time > *query.until_time) {
    wrong->Invalid("untilTime", request.Query("untilTime"), "must be after `sinceTime`");
  }
  if (query.boot.value_or(0) > 0) wrong->Invalid("boot", std::to_string(*query.boot), "must be less than 1");
  const std::int64_t lines = query.tail_lines.value_or(0);
  if (lines < 0 || lines > kMaxTailLines) {
    wrong->Invalid("tailLines", std::to_string(lines),
                   "must be between 0 and " + std::to_string(kMaxTailLines) + ", inclusive");
  }
}

}  // namespace

absl::StatusOr<std::optional<NodeLogQuery>> ParseNodeLogQuery(const HttpRequest& request) {
  NodeLogQuery query;
  std::vector<std::string> files;
  Complaints unreadable;
  for (std::string& word : request.QueryAll("query")) {
    if (word.find_first_of("/\\") != std::string::npos) {
      // A client on Windows may have written it.
      std::replace(word.begin(), word.end(), '\\', '/');
      files.push_back(std::move(word));
    } else if (!Blank(word)) {
      query.services.push_back(std::move(word));
    }
  }
  const bool asked = request.HasQuery("query");
  if (asked && files.empty() && query.services.empty()) {
    unreadable.Invalid("query", request.Query("query"), "may not be empty");
  }
  TakeTime(request, "sinceTime", &query.since_time, &unreadable);
  TakeTime(request, "untilTime", &query.until_time, &unreadable);
  TakeNumber(request, "boot", &query.boot, &unreadable);
  TakeNumber(request, "tailLines", &query.tail_lines, &unreadable);
  query.pattern = request.Query("pattern");
  if (!unreadable.none()) return absl::InvalidArgumentError(unreadable.Text());
  if (!asked && !query.has_options()) return std::optional<NodeLogQuery>();
  Complaints refused;
  CheckSources(query, files, &refused);
  CheckOptions(query, request, &refused);
  if (query.pattern.find('\0') != std::string::npos) refused.Invalid("pattern", "", "may not have a NUL byte");
  if (!refused.none()) return absl::OutOfRangeError(refused.Text());
  if (!files.empty()) query.file = files[0];
  return std::optional<NodeLogQuery>(std::move(query));
}

}  // namespace burstlet::kube
