#include "provider/tracing/otlp.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kube/json.h"

namespace burstlet::provider {
namespace {

constexpr int kInternalSpan = 1;

template <typename Id>
std::string Hex(const Id& id) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

std::string Encode(const Attributes& attributes) {
  std::string out = "[";
  for (const auto& [key, value] : attributes) {
    absl::StrAppend(&out, out.size() == 1 ? "" : ",", "{\"key\":", kube::EncodeText(key),
                    ",\"value\":{\"stringValue\":", kube::EncodeText(value), "}}");
  }
  return out + "]";
}

std::string Encode(const Span& span) {
  const bool root = std::all_of(span.parent.begin(), span.parent.end(), [](std::uint8_t byte) { return byte == 0; });
  return absl::StrCat("{\"traceId\":\"", Hex(span.trace), "\",\"spanId\":\"", Hex(span.id), "\",",
                      root ? "" : absl::StrCat("\"parentSpanId\":\"", Hex(span.parent), "\","),
                      "\"name\":", kube::EncodeText(span.name), ",\"kind\":", kInternalSpan,
                      ",\"startTimeUnixNano\":\"", span.start_unix_nanos, "\",\"endTimeUnixNano\":\"",
                      span.end_unix_nanos, "\",\"attributes\":", Encode(span.attributes), "}");
}

}  // namespace

std::string EncodeOtlp(const Attributes& resource, const std::string& version, const std::vector<Span>& spans) {
  std::string out = absl::StrCat(
      "{\"resourceSpans\":[{\"resource\":{\"attributes\":", Encode(resource),
      "},\"scopeSpans\":[{\"scope\":{\"name\":\"burstlet\",\"version\":", kube::EncodeText(version), "},\"spans\":[");
  for (std::size_t i = 0; i < spans.size(); ++i) absl::StrAppend(&out, i == 0 ? "" : ",", Encode(spans[i]));
  return out + "]}]}]}";
}

}  // namespace burstlet::provider
