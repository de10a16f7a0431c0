// A JSON document as plain values: what this folder needs of it, bounded, and cpprestsdk's parser out of sight.
//
// Threads: values. Failure: kInvalidArgument (no JSON, too deep, too large).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace burstlet::cache {

struct Json {
  enum class Type { kNull, kBool, kNumber, kString, kArray, kObject };

  Type type = Type::kNull;
  bool boolean = false;
  std::int64_t number = 0;  // whole numbers; a fraction is cut, what doesn't fit is -1
  std::string string;
  std::vector<Json> array;
  std::map<std::string, Json> object;

  Json() = default;
  Json(std::string text) : type(Type::kString), string(std::move(text)) {}
  Json(const char* text) : type(Type::kString), string(text) {}
  Json(std::int64_t value) : type(Type::kNumber), number(value) {}
  static Json Array() { return OfType(Type::kArray); }
  static Json Object() { return OfType(Type::kObject); }

  bool IsObject() const { return type == Type::kObject; }
  bool IsArray() const { return type == Type::kArray; }
  bool IsString() const { return type == Type::kString; }

  /// The member, or a null value.
  const Json& operator[](std::string_view key) const;
  /// The string, or "".
  const std::string& Text() const { return string; }
  /// The strings of an array; others are passed over.
  std::vector<std::string> Strings() const;
  /// One line of JSON.
  std::string Dump() const;

 private:
  static Json OfType(Type t) {
    Json json;
    json.type = t;
    return json;
  }
};

/// Parses a document of at most `max_bytes`, nested at most 64 deep.
absl::StatusOr<Json> ParseJson(std::string_view text, std::size_t max_bytes);

}  // namespace burstlet::cache
