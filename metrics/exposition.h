// Writes the Prometheus text format (version 0.0.4) line by line into one string, without a tree of objects between.
//
// For series that are read from the kernel anew at each scrape; the agent's own counters are the catalog's. Owner: one
// scrape. Threads: one. Source: prometheus.io/docs/instrumenting/exposition_formats.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace burstlet {

/// `name="value"` with the value escaped, after a comma when `labels` is not empty.
void AppendLabel(std::string& labels, std::string_view name, std::string_view value);

class Exposition {
 public:
  explicit Exposition(std::size_t expected_bytes = 4096) { text_.reserve(expected_bytes); }

  /// Begins a family: HELP and TYPE. `type` is counter, gauge, histogram, summary or untyped.
  void Family(std::string_view name, std::string_view type, std::string_view help);
  /// A sample of the family begun last. `labels` comes from AppendLabel; `more` too, and is put behind it. `at_ms` is
  /// the moment in unix milliseconds, 0 = none is said.
  void Sample(std::string_view labels, double value, std::int64_t at_ms = 0) { Sample(labels, {}, value, at_ms); }
  void Sample(std::string_view labels, std::string_view more, double value, std::int64_t at_ms = 0);
  /// A whole number, written as one.
  void Count(std::string_view labels, std::uint64_t value, std::int64_t at_ms = 0) { Count(labels, {}, value, at_ms); }
  void Count(std::string_view labels, std::string_view more, std::uint64_t value, std::int64_t at_ms = 0);

  /// A part of a histogram: "_bucket", "_sum" or "_count".
  void Part(std::string_view suffix, std::string_view labels, std::string_view more, double value);

  /// What has been written; the writer is empty afterwards.
  std::string Take() { return std::move(text_); }

 private:
  void Head(std::string_view suffix, std::string_view labels, std::string_view more);
  void Tail(std::int64_t at_ms);

  std::string text_;
  std::string family_;
};

}  // namespace burstlet
