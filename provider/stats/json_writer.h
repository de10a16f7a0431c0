// Writes JSON from front to back into one string: for large answers that are made anew each time.
//
// The caller keeps objects and arrays balanced; commas are the writer's. Threads: one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace burstlet::provider {

class JsonWriter {
 public:
  explicit JsonWriter(std::size_t expected_bytes) { text_.reserve(expected_bytes); }

  void BeginObject() { Open('{'); }
  void EndObject() { Close('}'); }
  void BeginArray() { Open('['); }
  void EndArray() { Close(']'); }
  void Key(std::string_view key);
  void String(std::string_view value);
  void Number(std::uint64_t value);
  void Double(double value);
  /// metav1.Time: RFC 3339 in UTC, whole seconds; null when 0.
  void Time(std::int64_t unix_nanos);

  void Field(std::string_view key, std::uint64_t value) {
    Key(key);
    Number(value);
  }
  void Field(std::string_view key, std::string_view value) {
    Key(key);
    String(value);
  }
  void TimeField(std::string_view key, std::int64_t unix_nanos) {
    Key(key);
    Time(unix_nanos);
  }

  std::string Take() { return std::move(text_); }

 private:
  void Open(char bracket);
  void Close(char bracket);
  void Separate();

  std::string text_;
  bool fresh_ = true;  // no comma before what comes next
  // The moment written last: most are the same.
  std::int64_t last_second_ = -1;
  std::string last_time_;
};

}  // namespace burstlet::provider
