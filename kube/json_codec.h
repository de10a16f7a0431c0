// The codec behind kube/json.h: one template over the field lists, in a few .cpp files (kube/json.cpp,
// kube/api/*_json.cpp).
//
// For the few .cpp files that instantiate it. cpprestsdk's web::json is only named here; kube/json.cpp looks inside.
// Threads: any.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "kube/json.h"

namespace web::json {
class value;
}  // namespace web::json

namespace burstlet::kube::json_internal {

using web::json::value;

// What the templates need to know of a tree. Members and elements are only asked of objects and arrays.
bool IsNull(const value& json);
bool IsObject(const value& json);
bool IsArray(const value& json);
std::size_t Size(const value& json);
const value& ElementAt(const value& json, std::size_t index);
std::pair<std::string_view, const value&> MemberAt(const value& json, std::size_t index);
/// Null when there is none.
const value* FindMember(const value& json, std::string_view name);

/// Where the decoder is: a list of stack frames, turned into text only for an error or an unknown field.
struct Path {
  const Path* parent = nullptr;
  std::string_view name;
  std::int64_t index = -1;  // of an array's element
};
std::string PathText(const Path* path);

struct Context {
  absl::Status error;
  std::vector<std::string>* unknown = nullptr;

  /// Always false, for `return context.Fail(...)`.
  bool Fail(const Path* path, std::string_view what);
};

/// The JSON name of a C++ field: a trailing underscore only keeps it from being a keyword.
constexpr std::string_view JsonName(std::string_view field) {
  if (field.ends_with('_')) field.remove_suffix(1);
  return field;
}

bool DecodeValue(Context& context, const Path* path, const value& json, std::string& out);
bool DecodeValue(Context& context, const Path* path, const value& json, bool& out);
bool DecodeValue(Context& context, const Path* path, const value& json, std::int32_t& out);
bool DecodeValue(Context& context, const Path* path, const value& json, std::int64_t& out);
bool DecodeValue(Context& context, const Path* path, const value& json, Time& out);
bool DecodeValue(Context& context, const Path* path, const value& json, MicroTime& out);
bool DecodeValue(Context& context, const Path* path, const value& json, Quantity& out);
bool DecodeValue(Context& context, const Path* path, const value& json, IntOrString& out);
bool DecodeValue(Context& context, const Path* path, const value& json, Bytes& out);
bool DecodeValue(Context& context, const Path* path, const value& json, RawJson& out);
template <typename T>
bool DecodeValue(Context& context, const Path* path, const value& json, std::optional<T>& out);
template <typename T>
bool DecodeValue(Context& context, const Path* path, const value& json, std::vector<T>& out);
template <typename T>
bool DecodeValue(Context& context, const Path* path, const value& json, std::map<std::string, T>& out);
template <typename T>
bool DecodeValue(Context& context, const Path* path, const value& json, T& out);

/// Looks the fields of one struct up in a JSON object, and tells which were there.
struct FieldDecoder {
  Context& context;
  const Path* path;
  const value& object;
  std::size_t matched = 0;
  std::vector<std::string_view> names;  // only kept when unknown fields are asked for
  bool ok = true;

  template <typename T>
  void operator()(const char* field, T& out, Presence) {
    const std::string_view name = JsonName(field);
    if (context.unknown != nullptr) names.push_back(name);
    if (!ok) return;
    const value* const found = FindMember(object, name);
    if (found == nullptr) return;
    ++matched;
    const Path here{path, name, -1};
    ok = DecodeValue(context, &here, *found, out);
  }
};
void CollectUnknown(const FieldDecoder& decoder);

template <typename T>
bool DecodeValue(Context& context, const Path* path, const value& json, std::optional<T>& out) {
  if (IsNull(json)) {
    out.reset();
    return true;
  }
  return DecodeValue(context, path, json, out.emplace());
}

template <typename T>
bool DecodeValue(Context& context, const Path* path, const value& json, std::vector<T>& out) {
  out.clear();
  if (IsNull(json)) return true;
  if (!IsArray(json)) return context.Fail(path, "expected an array");
  out.resize(Size(json));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Path here{path, {}, static_cast<std::int64_t>(i)};
    if (!DecodeValue(context, &here, ElementAt(json, i), out[i])) return false;
  }
  return true;
}

template <typename T>
bool DecodeValue(Context& context, const Path* path, const value& json, std::map<std::string, T>& out) {
  out.clear();
  if (IsNull(json)) return true;
  if (!IsObject(json)) return context.Fail(path, "expected an object");
  for (std::size_t i = 0; i < Size(json); ++i) {
    const auto [key, member] = MemberAt(json, i);
    const Path here{path, key, -1};
    if (!DecodeValue(context, &here, member, out[std::string(key)])) return false;
  }
  return true;
}

template <typename T>
bool DecodeValue(Context& context, const Path* path, const value& json, T& out) {
  if (IsNull(json)) return true;
  if (!IsObject(json)) return context.Fail(path, "expected an object");
  FieldDecoder decoder{context, path, json, 0, {}, true};
  VisitFields(decoder, out);
  if (decoder.ok && context.unknown != nullptr && decoder.matched < Size(json)) CollectUnknown(decoder);
  return decoder.ok;
}

/// Size, outline and syntax; kInvalidArgument.
absl::StatusOr<std::shared_ptr<const value>> ParseJson(const std::string& text);

// --- encoding -----------------------------------------------------------------------------------------------------

void EncodeValue(std::string& out, std::string_view text);
void EncodeValue(std::string& out, bool flag);
void EncodeValue(std::string& out, std::int64_t number);
void EncodeValue(std::string& out, const Time& time);
void EncodeValue(std::string& out, const MicroTime& time);
void EncodeValue(std::string& out, const Quantity& quantity);
void EncodeValue(std::string& out, const IntOrString& number);
void EncodeValue(std::string& out, const Bytes& bytes);
void EncodeValue(std::string& out, const RawJson& raw);
inline void EncodeValue(std::string& out, const std::string& text) { EncodeValue(out, std::string_view(text)); }
inline void EncodeValue(std::string& out, std::int32_t number) { EncodeValue(out, std::int64_t{number}); }
template <typename T>
void EncodeValue(std::string& out, const std::optional<T>& optional);
template <typename T>
void EncodeValue(std::string& out, const std::vector<T>& list);
template <typename T>
void EncodeValue(std::string& out, const std::map<std::string, T>& map);
template <typename T>
void EncodeValue(std::string& out, const T& object);

inline bool IsEmpty(const std::string& text) { return text.empty(); }
inline bool IsEmpty(bool flag) { return !flag; }
inline bool IsEmpty(std::int32_t number) { return number == 0; }
inline bool IsEmpty(std::int64_t number) { return number == 0; }
inline bool IsEmpty(const Time& time) { return time.unix_nanos == 0; }
inline bool IsEmpty(const MicroTime& time) { return time.unix_nanos == 0; }
inline bool IsEmpty(const Quantity& quantity) { return quantity.text.empty(); }
inline bool IsEmpty(const IntOrString& value) { return value.number == 0 && value.text.empty(); }
inline bool IsEmpty(const Bytes& bytes) { return bytes.data.empty(); }
inline bool IsEmpty(const RawJson& raw) { return raw.text.empty(); }
template <typename T>
bool IsEmpty(const std::optional<T>& optional) {
  return !optional.has_value();
}
inline bool IsEmpty(const std::optional<RawJson>& optional) { return !optional || optional->text.empty(); }
inline bool IsEmpty(const std::optional<Time>& optional) { return !optional || !*optional; }
template <typename T>
bool IsEmpty(const std::vector<T>& list) {
  return list.empty();
}
template <typename T>
bool IsEmpty(const std::map<std::string, T>& map) {
  return map.empty();
}
template <typename T>
bool IsEmpty(const T&) {
  return false;  // a struct: decided by what it writes
}

struct FieldEncoder {
  std::string& out;
  bool first = true;

  template <typename T>
  void operator()(const char* field, const T& member, Presence presence) {
    if (presence == Presence::kOmitEmpty && IsEmpty(member)) return;
    const std::size_t begin = out.size();
    if (!first) out += ',';
    out += '"';
    out += JsonName(field);
    out += "\":";
    const std::size_t written = out.size();
    EncodeValue(out, member);
    constexpr bool kMayVanish = requires(FieldEncoder& encoder) { VisitFields(encoder, member); };
    if (kMayVanish && presence == Presence::kOmitEmpty && out.size() == written + 2) {
      out.resize(begin);  // "{}" says no more than no member
    } else {
      first = false;
    }
  }
};

template <typename T>
void EncodeValue(std::string& out, const std::optional<T>& optional) {
  if (optional) {
    EncodeValue(out, *optional);
  } else {
    out += "null";
  }
}

template <typename T>
void EncodeValue(std::string& out, const std::vector<T>& list) {
  out += '[';
  bool first = true;
  for (const T& item : list) {
    if (!first) out += ',';
    first = false;
    EncodeValue(out, item);
  }
  out += ']';
}

template <typename T>
void EncodeValue(std::string& out, const std::map<std::string, T>& map) {
  out += '{';
  bool first = true;
  for (const auto& [key, item] : map) {
    if (!first) out += ',';
    first = false;
    EncodeValue(out, std::string_view(key));
    out += ':';
    EncodeValue(out, item);
  }
  out += '}';
}

template <typename T>
void EncodeValue(std::string& out, const T& object) {
  out += '{';
  FieldEncoder encoder{out, true};
  VisitFields(encoder, object);
  out += '}';
}

}  // namespace burstlet::kube::json_internal

namespace burstlet::kube {

template <typename T>
absl::StatusOr<T> Decode(const std::string& json, std::vector<std::string>* unknown_fields) {
  const auto parsed = json_internal::ParseJson(json);
  if (!parsed.ok()) return parsed.status();
  T out{};
  json_internal::Context context{absl::OkStatus(), unknown_fields};
  if (!json_internal::IsObject(**parsed)) {
    context.Fail(nullptr, "expected an object");
  } else {
    json_internal::DecodeValue(context, nullptr, **parsed, out);
  }
  if (!context.error.ok()) return context.error;
  return out;
}

template <typename T>
std::string Encode(const T& object) {
  std::string out;
  json_internal::EncodeValue(out, object);
  return out;
}

}  // namespace burstlet::kube

/// In a .cpp: this type can be decoded and encoded from everywhere.
#define BURSTLET_JSON_TYPE(T)                                                                       \
  template absl::StatusOr<T> Decode<T>(const std::string& json, std::vector<std::string>* unknown); \
  template std::string Encode<T>(const T& object)
