#include "kube/server/cri_log.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <optional>

#include "kube/server/log_options.h"

namespace burstlet::kube {
namespace {

// The fixed width form: always nine digits (cri-client's RFC3339NanoFixed).
std::string FixedTimestamp(const CriLine& line) {
  if (line.timestamp.size() == 30 && line.timestamp.back() == 'Z') return std::string(line.timestamp);
  std::int64_t seconds = line.unix_nanos / 1000000000, nanos = line.unix_nanos % 1000000000;
  if (nanos < 0) {
    nanos += 1000000000;
    --seconds;
  }
  // The written zone is kept; only the digits are filled up.
  std::string_view zone = "Z";
  std::int64_t offset = 0;
  if (line.timestamp.back() != 'Z') {
    zone = line.timestamp.substr(line.timestamp.size() - 6);
    offset = ((zone[1] - '0') * 10 + (zone[2] - '0')) * 3600 + ((zone[4] - '0') * 10 + (zone[5] - '0')) * 60;
    if (zone[0] == '-') offset = -offset;
  }
  const std::time_t local = seconds + offset;
  std::tm parts = {};
  gmtime_r(&local, &parts);
  std::array<char, 64> text;
  const int length = std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%09lld",
                                   parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                                   parts.tm_sec, static_cast<long long>(nanos));
  return std::string(text.data(), static_cast<std::size_t>(length)).append(zone);
}

}  // namespace

bool ParseCriLine(std::string_view line, CriLine* out) {
  const std::size_t first = line.find(' ');
  if (first == std::string_view::npos || first > 64) return false;
  out->timestamp = line.substr(0, first);
  const std::optional<std::int64_t> nanos = ParseRfc3339Nanos(out->timestamp);
  if (!nanos.has_value()) return false;
  out->unix_nanos = *nanos;
  line.remove_prefix(first + 1);
  if (line.rfind("stdout ", 0) == 0) {
    out->from_stderr = false;
  } else if (line.rfind("stderr ", 0) == 0) {
    out->from_stderr = true;
  } else {
    return false;
  }
  line.remove_prefix(7);
  const std::size_t end = line.find(' ');
  if (end == std::string_view::npos) return false;
  // Tags are separated by colons; the first one tells, later ones are for the future.
  const std::string_view tags = line.substr(0, end);
  out->partial = tags.substr(0, tags.find(':')) == "P";
  out->text = line.substr(end + 1);
  return true;
}

CriLogFilter::CriLogFilter(const LogOptions& options) : options_(options), remaining_(options.limit_bytes) {}

void CriLogFilter::Feed(std::string_view bytes, std::string* out) {
  while (!bytes.empty() && !done()) {
    const std::size_t newline = bytes.find('\n');
    if (newline == std::string_view::npos) {
      if (!skipping_) unfinished_.append(bytes);
      if (unfinished_.size() > kMaxLineBytes) {
        Line(unfinished_, false, out);
        unfinished_.clear();
        skipping_ = true;
      }
      return;
    }
    if (skipping_) {
      skipping_ = false;
      if (!at_line_start_) Emit("\n", out);
      at_line_start_ = true;
    } else if (unfinished_.empty()) {
      Line(bytes.substr(0, newline), true, out);
    } else {
      unfinished_.append(bytes.substr(0, newline));
      Line(unfinished_, true, out);
      unfinished_.clear();
    }
    bytes.remove_prefix(newline + 1);
  }
}

void CriLogFilter::EndOfFile(std::string* out) {
  if (!unfinished_.empty() && !done()) Line(unfinished_, false, out);
  unfinished_.clear();
}

void CriLogFilter::Line(std::string_view line, bool has_newline, std::string* out) {
  CriLine parsed;
  if (!ParseCriLine(line, &parsed)) {
    ++malformed_;
    return;
  }
  if (parsed.unix_nanos < options_.since_unix_nanos) return;
  const bool wanted = parsed.from_stderr ? options_.want_stderr : options_.want_stdout;
  if (wanted) {
    if (options_.timestamps && at_line_start_) Emit(FixedTimestamp(parsed) + " ", out);
    Emit(parsed.text, out);
    if (has_newline && !parsed.partial) Emit("\n", out);
  }
  at_line_start_ = (has_newline && !parsed.partial) || parsed.text.empty();
}

void CriLogFilter::Emit(std::string_view text, std::string* out) {
  if (remaining_ >= 0) {
    text = text.substr(
        0, static_cast<std::size_t>(std::min<std::int64_t>(remaining_, static_cast<std::int64_t>(text.size()))));
    remaining_ -= static_cast<std::int64_t>(text.size());
  }
  out->append(text);
}

}  // namespace burstlet::kube
