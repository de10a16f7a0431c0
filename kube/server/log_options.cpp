#include "kube/server/log_options.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace burstlet::kube {
namespace {

constexpr std::int64_t kNanos = 1000000000;

HttpResponse Undecodable() { return TextResponse(400, R"({"message": "Unable to decode query."})"); }
HttpResponse Invalid() { return TextResponse(422, R"({"message": "Invalid request."})"); }

// Any value but false and 0 is true (apimachinery's Convert_Slice_string_To_bool).
bool Flag(const HttpRequest& request, std::string_view name) {
  if (!request.HasQuery(name)) return false;
  const std::string value = ToLower(request.Query(name));
  return value != "false" && value != "0";
}

bool Integer(std::string_view text, std::int64_t* out) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

// False on a value that is no number; absent leaves `out` empty.
bool OptionalInteger(const HttpRequest& request, std::string_view name, std::optional<std::int64_t>* out) {
  if (!request.HasQuery(name)) return true;
  std::int64_t value = 0;
  if (!Integer(request.Query(name), &value)) return false;
  *out = value;
  return true;
}

// Days since 1970-01-01 of a Gregorian date.
std::int64_t DaysFromCivil(std::int64_t year, unsigned month, unsigned day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const auto of_era = static_cast<unsigned>(year - era * 400);
  const unsigned of_year = (153 * (month + (month > 2 ? -3U : 9U)) + 2) / 5 + day - 1;
  const unsigned day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
  return era * 146097 + static_cast<std::int64_t>(day_of_era) - 719468;
}

bool Digits(std::string_view* text, std::size_t count, unsigned* out) {
  if (text->size() < count) return false;
  unsigned value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const char c = (*text)[i];
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  text->remove_prefix(count);
  *out = value;
  return true;
}

bool Literal(std::string_view* text, char c) {
  if (text->empty() || (*text)[0] != c) return false;
  text->remove_prefix(1);
  return true;
}

bool Fraction(std::string_view* text, std::int64_t* nanos) {
  *nanos = 0;
  if (!Literal(text, '.')) return true;
  std::int64_t unit = kNanos / 10;
  std::size_t digits = 0;
  while (digits < text->size() && (*text)[digits] >= '0' && (*text)[digits] <= '9') {
    *nanos += ((*text)[digits] - '0') * unit;  // digits beyond the ninth count nothing
    unit /= 10;
    ++digits;
  }
  text->remove_prefix(digits);
  return digits > 0;
}

bool Zone(std::string_view* text, std::int64_t* offset_seconds) {
  *offset_seconds = 0;
  if (Literal(text, 'Z')) return true;
  const bool west = !text->empty() && (*text)[0] == '-';
  if (!west && (text->empty() || (*text)[0] != '+')) return false;
  text->remove_prefix(1);
  unsigned hours = 0, minutes = 0;
  if (!Digits(text, 2, &hours) || !Literal(text, ':') || !Digits(text, 2, &minutes)) return false;
  if (hours > 23 || minutes > 59) return false;
  *offset_seconds = static_cast<std::int64_t>(hours * 3600 + minutes * 60) * (west ? -1 : 1);
  return true;
}

}  // namespace

std::optional<std::int64_t> ParseRfc3339Nanos(std::string_view text) {
  unsigned year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (!Digits(&text, 4, &year) || !Literal(&text, '-') || !Digits(&text, 2, &month) || !Literal(&text, '-') ||
      !Digits(&text, 2, &day) || !Literal(&text, 'T') || !Digits(&text, 2, &hour) || !Literal(&text, ':') ||
      !Digits(&text, 2, &minute) || !Literal(&text, ':') || !Digits(&text, 2, &second)) {
    return std::nullopt;
  }
  // The range of a 64-bit count of nanoseconds.
  if (year < 1678 || year > 2261 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
      second > 59) {
    return std::nullopt;
  }
  std::int64_t nanos = 0, offset = 0;
  if (!Fraction(&text, &nanos) || !Zone(&text, &offset) || !text.empty()) return std::nullopt;
  const std::int64_t seconds = DaysFromCivil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
  return seconds * kNanos + nanos;
}

std::optional<HttpResponse> ParseLogOptions(const HttpRequest& request, std::int64_t now_unix_nanos,
                                            LogOptions* options) {
  options->follow = Flag(request, "follow");
  options->previous = Flag(request, "previous");
  options->timestamps = Flag(request, "timestamps");
  std::optional<std::int64_t> tail, limit, since_seconds;
  // The old name of tailLines wins over the new one; "all" means none.
  const std::string old_tail = request.Query("tail");
  if (!old_tail.empty()) {
    std::int64_t value = 0;
    if (old_tail != "all") {
      if (!Integer(old_tail, &value)) return Undecodable();
      tail = value;
    }
  } else if (!OptionalInteger(request, "tailLines", &tail)) {
    return Undecodable();
  }
  if (!OptionalInteger(request, "limitBytes", &limit) || !OptionalInteger(request, "sinceSeconds", &since_seconds)) {
    return Undecodable();
  }
  std::optional<std::int64_t> since_time;
  const std::string since_text = request.Query("sinceTime");
  if (!since_text.empty() && since_text != "null") {
    since_time = ParseRfc3339Nanos(since_text);
    if (!since_time.has_value()) return Undecodable();
  }
  const std::string stream = request.HasQuery("stream") ? request.Query("stream") : "All";
  if ((tail.has_value() && *tail < 0) || (limit.has_value() && *limit < 1) ||
      (since_seconds.has_value() && (since_time.has_value() || *since_seconds < 1)) ||
      (stream != "All" && stream != "Stdout" && stream != "Stderr") || (stream != "All" && tail.has_value())) {
    return Invalid();
  }
  options->want_stdout = stream != "Stderr";
  options->want_stderr = stream != "Stdout";
  options->tail_lines = tail.value_or(-1);
  options->limit_bytes = limit.value_or(-1);
  if (since_time.has_value()) options->since_unix_nanos = *since_time;
  if (since_seconds.has_value()) {
    // Longer ago than 1970 is from the start.
    const std::int64_t seconds = std::min(*since_seconds, now_unix_nanos / kNanos);
    options->since_unix_nanos = now_unix_nanos - seconds * kNanos;
  }
  return std::nullopt;
}

}  // namespace burstlet::kube
