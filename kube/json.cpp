#include "kube/json.h"

#include <cpprest/json.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <limits>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kube/json_codec.h"
#include "kube/json_scan.h"

namespace burstlet::kube {
namespace json_internal {

bool IsNull(const value& json) { return json.is_null(); }
bool IsObject(const value& json) { return json.is_object(); }
bool IsArray(const value& json) { return json.is_array(); }
std::size_t Size(const value& json) { return json.size(); }
const value& ElementAt(const value& json, std::size_t index) { return json.as_array().at(index); }

std::pair<std::string_view, const value&> MemberAt(const value& json, std::size_t index) {
  const auto& member = *(json.as_object().begin() + static_cast<std::ptrdiff_t>(index));
  return {member.first, member.second};
}

const value* FindMember(const value& json, std::string_view name) {
  const auto& object = json.as_object();
  const auto found = object.find(std::string(name));
  return found == object.end() ? nullptr : &found->second;
}

std::string PathText(const Path* path) {
  if (path == nullptr) return "";
  std::string text = PathText(path->parent);
  if (path->index >= 0) return absl::StrCat(text, "[", path->index, "]");
  if (!text.empty()) text += '.';
  text += path->name;
  return text;
}

bool Context::Fail(const Path* path, std::string_view what) {
  const std::string where = PathText(path);
  error = absl::InvalidArgumentError(absl::StrCat(where.empty() ? "the object" : where, ": ", std::string(what)));
  return false;
}

void CollectUnknown(const FieldDecoder& decoder) {
  for (const auto& [key, member] : decoder.object.as_object()) {
    bool known = false;
    for (const std::string_view name : decoder.names) known = known || name == key;
    if (known) continue;
    const Path here{decoder.path, key, -1};
    decoder.context.unknown->push_back(PathText(&here));
  }
}

namespace {

/// The text of a number, with no more digits than it needs.
std::string NumberText(const value& json) {
  if (json.is_integer()) return json.serialize();
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), json.as_double());
  return std::string(buffer, end.ptr);
}

template <typename Int>
bool DecodeInteger(Context& context, const Path* path, const value& json, Int& out) {
  if (json.is_null()) return true;
  if (!json.is_number() || !json.is_integer()) return context.Fail(path, "expected a whole number");
  const web::json::number& number = json.as_number();
  if (!number.is_int64()) return context.Fail(path, "the number is out of range");
  const std::int64_t wide = number.to_int64();
  if (wide < std::numeric_limits<Int>::min() || wide > std::numeric_limits<Int>::max()) {
    return context.Fail(path, "the number is out of range");
  }
  out = static_cast<Int>(wide);
  return true;
}

bool DecodeTimeText(Context& context, const Path* path, const value& json, std::int64_t& out) {
  if (json.is_null()) return true;
  if (!json.is_string()) return context.Fail(path, "expected a time");
  const auto parsed = ParseTime(json.as_string());
  if (!parsed.ok()) return context.Fail(path, "expected a time as in 2006-01-02T15:04:05Z");
  out = *parsed;
  return true;
}

}  // namespace

bool DecodeValue(Context& context, const Path* path, const value& json, std::string& out) {
  if (json.is_null()) return true;
  if (!json.is_string()) return context.Fail(path, "expected a string");
  out = json.as_string();
  return true;
}

bool DecodeValue(Context& context, const Path* path, const value& json, bool& out) {
  if (json.is_null()) return true;
  if (!json.is_boolean()) return context.Fail(path, "expected true or false");
  out = json.as_bool();
  return true;
}

bool DecodeValue(Context& context, const Path* path, const value& json, std::int32_t& out) {
  return DecodeInteger(context, path, json, out);
}

bool DecodeValue(Context& context, const Path* path, const value& json, std::int64_t& out) {
  return DecodeInteger(context, path, json, out);
}

bool DecodeValue(Context& context, const Path* path, const value& json, Time& out) {
  return DecodeTimeText(context, path, json, out.unix_nanos);
}

bool DecodeValue(Context& context, const Path* path, const value& json, MicroTime& out) {
  return DecodeTimeText(context, path, json, out.unix_nanos);
}

bool DecodeValue(Context& context, const Path* path, const value& json, Quantity& out) {
  if (json.is_null()) return true;
  if (json.is_number()) {
    out.text = NumberText(json);
  } else if (json.is_string()) {
    out.text = json.as_string();
  } else {
    return context.Fail(path, "expected a quantity");
  }
  return true;
}

bool DecodeValue(Context& context, const Path* path, const value& json, IntOrString& out) {
  if (json.is_string()) {
    out.text = json.as_string();
    return true;
  }
  if (!json.is_null() && !json.is_number()) return context.Fail(path, "expected a number or a string");
  return DecodeInteger(context, path, json, out.number);
}

bool DecodeValue(Context& context, const Path* path, const value& json, Bytes& out) {
  if (json.is_null()) return true;
  if (!json.is_string() || !absl::Base64Unescape(json.as_string(), &out.data)) {
    return context.Fail(path, "expected base64");
  }
  return true;
}

bool DecodeValue(Context&, const Path*, const value& json, RawJson& out) {
  if (!json.is_null()) out.text = json.serialize();
  return true;
}

absl::StatusOr<std::shared_ptr<const value>> ParseJson(const std::string& text) {
  if (text.size() > kMaxJsonBytes) {
    return absl::InvalidArgumentError(absl::StrCat("JSON is too large (", text.size(), " bytes)"));
  }
  const absl::Status outline = CheckJsonOutline(text);
  if (!outline.ok()) return outline;
  std::error_code error;
  auto parsed = std::make_shared<const value>(value::parse(text, error));
  if (error) return absl::InvalidArgumentError(absl::StrCat("JSON is malformed: ", error.message()));
  return parsed;
}

// --- encoding -----------------------------------------------------------------------------------------------------

namespace {

/// The length of the UTF-8 sequence that begins at `at`, or 0 when it is none.
std::size_t Utf8Length(std::string_view text, std::size_t at) {
  const auto byte = [&text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : static_cast<unsigned char>(0);
  };
  const auto follows = [&byte](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned char lead = byte(at);
  const unsigned char second = byte(at + 1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(at + 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool overlong = lead == 0xE0 && second < 0xA0;
    const bool surrogate = lead == 0xED && second >= 0xA0;
    return !overlong && !surrogate && follows(at + 1) && follows(at + 2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool overlong = lead == 0xF0 && second < 0x90;
    const bool beyond = lead == 0xF4 && second >= 0x90;
    return !overlong && !beyond && follows(at + 1) && follows(at + 2) && follows(at + 3) ? 4 : 0;
  }
  return 0;
}

void AppendEscaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default: {
      char buffer[8];
      std::snprintf(buffer, sizeof(buffer), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += buffer;
    }
  }
}

}  // namespace

void EncodeValue(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const std::size_t length = Utf8Length(text, at);
    if (length == 0) {
      // Containers write what they like into messages; the server takes only UTF-8 (Go writes the same substitute).
      out += "\xEF\xBF\xBD";
      ++at;
    } else if (length == 1 && (static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\' || c == 0x7F)) {
      AppendEscaped(out, c);
      ++at;
    } else {
      out.append(text, at, length);
      at += length;
    }
  }
  out += '"';
}

void EncodeValue(std::string& out, bool flag) { out += flag ? "true" : "false"; }

void EncodeValue(std::string& out, std::int64_t number) { absl::StrAppend(&out, number); }

void EncodeValue(std::string& out, const Time& time) {
  if (time.unix_nanos == 0) {
    out += "null";
  } else {
    EncodeValue(out, std::string_view(FormatTime(time)));
  }
}

void EncodeValue(std::string& out, const MicroTime& time) {
  if (time.unix_nanos == 0) {
    out += "null";
  } else {
    EncodeValue(out, std::string_view(FormatMicroTime(time)));
  }
}

void EncodeValue(std::string& out, const Quantity& quantity) {
  EncodeValue(out, std::string_view(quantity.text.empty() ? "0" : quantity.text));
}

void EncodeValue(std::string& out, const IntOrString& number) {
  if (number.text.empty()) {
    EncodeValue(out, std::int64_t{number.number});
  } else {
    EncodeValue(out, std::string_view(number.text));
  }
}

void EncodeValue(std::string& out, const Bytes& bytes) {
  out += '"';
  out += absl::Base64Escape(bytes.data);
  out += '"';
}

void EncodeValue(std::string& out, const RawJson& raw) { out += raw.text.empty() ? "null" : raw.text; }

}  // namespace json_internal

absl::StatusOr<ObjectHead> DecodeHead(const std::string& json) {
  if (json.size() > kMaxJsonBytes) return absl::InvalidArgumentError("JSON is too large");
  std::string kind;
  std::string metadata;
  const absl::Status status = VisitJsonMembers(json, [&](std::string_view key, std::string_view text) {
    if (key == "kind" && text.size() >= 2) kind = text.substr(1, text.size() - 2);
    if (key == "metadata") metadata = text;
    return kind.empty() || metadata.empty();
  });
  if (!status.ok()) return status;
  ObjectHead head;
  head.kind = std::move(kind);
  if (metadata.empty()) return head;
  auto decoded = Decode<ObjectMeta>(metadata);
  if (!decoded.ok()) return decoded.status();
  head.metadata = *std::move(decoded);
  return head;
}

std::string EncodeText(const std::string& text) {
  std::string out;
  json_internal::EncodeValue(out, std::string_view(text));
  return out;
}

std::string EncodeList(const std::string& kind, const std::string& api_version, const std::vector<std::string>& items) {
  std::string out = "{\"kind\":";
  json_internal::EncodeValue(out, std::string_view(kind));
  out += ",\"apiVersion\":";
  json_internal::EncodeValue(out, std::string_view(api_version));
  out += ",\"metadata\":{},\"items\":[";
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ',';
    out += items[i];
  }
  out += "]}";
  return out;
}

namespace {

constexpr std::int64_t kNanosPerSecond = 1'000'000'000;

/// `width` digits at `at`, which moves on; -1 when there are none.
int TakeDigits(std::string_view text, std::size_t& at, std::size_t width) {
  int value = 0;
  for (std::size_t i = 0; i < width; ++i, ++at) {
    if (at >= text.size() || text[at] < '0' || text[at] > '9') return -1;
    value = value * 10 + (text[at] - '0');
  }
  return value;
}

bool TakeChar(std::string_view text, std::size_t& at, char c) {
  if (at >= text.size() || text[at] != c) return false;
  ++at;
  return true;
}

/// "Z" or "+hh:mm" to the end of the text, as seconds; false when it is neither.
bool TakeZone(std::string_view text, std::size_t at, std::int64_t& seconds) {
  if (TakeChar(text, at, 'Z') || TakeChar(text, at, 'z')) return at == text.size();
  const bool east = TakeChar(text, at, '+');
  if (!east && !TakeChar(text, at, '-')) return false;
  const int hours = TakeDigits(text, at, 2);
  if (!TakeChar(text, at, ':')) return false;
  const int minutes = TakeDigits(text, at, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || at != text.size()) return false;
  seconds = (east ? 1 : -1) * (hours * 3600 + minutes * 60);
  return true;
}

std::string FormatParts(std::int64_t unix_nanos, bool micros) {
  std::int64_t seconds = unix_nanos / kNanosPerSecond;
  std::int64_t nanos = unix_nanos % kNanosPerSecond;
  if (nanos < 0) {
    nanos += kNanosPerSecond;
    --seconds;
  }
  const std::time_t clock = seconds;
  std::tm parts{};
  gmtime_r(&clock, &parts);
  char buffer[80];
  int length = std::snprintf(buffer, sizeof(buffer), "%04d-%02d-%02dT%02d:%02d:%02d", parts.tm_year + 1900,
                             parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  std::string text(buffer, static_cast<std::size_t>(length));
  if (micros) {
    length = std::snprintf(buffer, sizeof(buffer), ".%06d", static_cast<int>(nanos / 1000));
    text.append(buffer, static_cast<std::size_t>(length));
  }
  return text + "Z";
}

}  // namespace

absl::StatusOr<std::int64_t> ParseTime(const std::string& text) {
  const auto malformed = [&text] {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no RFC 3339 time"));
  };
  std::size_t at = 0;
  const int year = TakeDigits(text, at, 4);
  if (!TakeChar(text, at, '-')) return malformed();
  const int month = TakeDigits(text, at, 2);
  if (!TakeChar(text, at, '-')) return malformed();
  const int day = TakeDigits(text, at, 2);
  if (!TakeChar(text, at, 'T') && !TakeChar(text, at, 't')) return malformed();
  const int hour = TakeDigits(text, at, 2);
  if (!TakeChar(text, at, ':')) return malformed();
  const int minute = TakeDigits(text, at, 2);
  if (!TakeChar(text, at, ':')) return malformed();
  const int second = TakeDigits(text, at, 2);
  std::int64_t nanos = 0;
  if (TakeChar(text, at, '.')) {
    std::int64_t unit = kNanosPerSecond;
    const std::size_t begin = at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      unit /= 10;
      nanos += unit * (text[at] - '0');
    }
    if (at == begin) return malformed();
  }
  std::int64_t zone = 0;
  if (!TakeZone(text, at, zone)) return malformed();
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (year < 0 || !date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) {
    return malformed();
  }
  if (year == 1) return std::int64_t{0};
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second - zone;
  constexpr std::int64_t kLimit = std::numeric_limits<std::int64_t>::max() / kNanosPerSecond - 1;
  if (seconds > kLimit) return kLimit * kNanosPerSecond;
  if (seconds < -kLimit) return -kLimit * kNanosPerSecond;
  return seconds * kNanosPerSecond + nanos;
}

std::string FormatTime(Time time) { return FormatParts(time.unix_nanos, false); }
std::string FormatMicroTime(MicroTime time) { return FormatParts(time.unix_nanos, true); }

}  // namespace burstlet::kube
