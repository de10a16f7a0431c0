#include "provider/stats/json_writer.h"

#include <charconv>
#include <cstdio>
#include <ctime>

namespace burstlet::provider {

void JsonWriter::Separate() {
  if (!fresh_) text_ += ',';
  fresh_ = false;
}

void JsonWriter::Open(char bracket) {
  Separate();
  text_ += bracket;
  fresh_ = true;
}

void JsonWriter::Close(char bracket) {
  text_ += bracket;
  fresh_ = false;
}

void JsonWriter::Key(std::string_view key) {
  Separate();
  text_ += '"';
  text_.append(key);
  text_ += "\":";
  fresh_ = true;
}

void JsonWriter::String(std::string_view value) {
  Separate();
  text_ += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned>(c));
      text_ += escaped;
    } else {
      text_ += c;
    }
  }
  text_ += '"';
}

void JsonWriter::Number(std::uint64_t value) {
  Separate();
  char buffer[24];
  text_.append(buffer, std::to_chars(buffer, buffer + sizeof(buffer), value).ptr);
}

void JsonWriter::Double(double value) {
  Separate();
  char buffer[32];
  text_.append(buffer, std::to_chars(buffer, buffer + sizeof(buffer), value).ptr);
}

void JsonWriter::Time(std::int64_t unix_nanos) {
  Separate();
  if (unix_nanos == 0) {
    text_ += "null";
    return;
  }
  const std::int64_t second = unix_nanos / 1'000'000'000;
  if (second != last_second_) {
    const std::time_t seconds = second;
    std::tm civil{};
    gmtime_r(&seconds, &civil);
    char buffer[32];
    last_time_.assign(buffer, std::strftime(buffer, sizeof(buffer), "\"%Y-%m-%dT%H:%M:%SZ\"", &civil));
    last_second_ = second;
  }
  text_ += last_time_;
}

}  // namespace burstlet::provider
