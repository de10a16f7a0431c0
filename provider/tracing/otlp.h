// Spans in the JSON form of OTLP/HTTP. Pure; any thread.
//
// Source: opentelemetry.io/docs/specs/otlp (JSON Protobuf encoding: identifiers in hex, 64-bit numbers as text).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace burstlet::provider {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;
using Attributes = std::vector<std::pair<std::string, std::string>>;

struct Span {
  TraceId trace{};
  SpanId id{};
  SpanId parent{};  // all zero: a root
  std::string name;
  std::int64_t start_unix_nanos = 0;
  std::int64_t end_unix_nanos = 0;
  Attributes attributes;
};

/// An ExportTraceServiceRequest. `resource` describes who reports.
std::string EncodeOtlp(const Attributes& resource, const std::string& version, const std::vector<Span>& spans);

}  // namespace burstlet::provider
