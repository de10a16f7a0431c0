#include "metrics/exposition.h"

#include <charconv>
#include <cmath>

namespace burstlet {
namespace {

template <typename Number>
void AppendNumber(std::string& text, Number number) {
  char buffer[32];
  const auto written = std::to_chars(buffer, buffer + sizeof(buffer), number);
  text.append(buffer, written.ptr);
}

}  // namespace

void AppendLabel(std::string& labels, std::string_view name, std::string_view value) {
  if (!labels.empty()) labels += ',';
  labels.append(name);
  labels += "=\"";
  for (const char c : value) {
    if (c == '\n') {
      labels += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') labels += '\\';
    labels += c;
  }
  labels += '"';
}

void Exposition::Family(std::string_view name, std::string_view type, std::string_view help) {
  family_ = name;
  text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
  text_.append(name).append(" ").append(type).append("\n");
}

void Exposition::Head(std::string_view suffix, std::string_view labels, std::string_view more) {
  text_.append(family_).append(suffix);
  if (!labels.empty() || !more.empty()) {
    text_ += '{';
    text_.append(labels);
    if (!labels.empty() && !more.empty()) text_ += ',';
    text_.append(more);
    text_ += '}';
  }
  text_ += ' ';
}

void Exposition::Tail(std::int64_t at_ms) {
  if (at_ms != 0) {
    text_ += ' ';
    AppendNumber(text_, at_ms);
  }
  text_ += '\n';
}

void Exposition::Sample(std::string_view labels, std::string_view more, double value, std::int64_t at_ms) {
  Head({}, labels, more);
  if (std::isfinite(value)) {
    AppendNumber(text_, value);
  } else {
    text_ += std::isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
  }
  Tail(at_ms);
}

void Exposition::Count(std::string_view labels, std::string_view more, std::uint64_t value, std::int64_t at_ms) {
  Head({}, labels, more);
  AppendNumber(text_, value);
  Tail(at_ms);
}

void Exposition::Part(std::string_view suffix, std::string_view labels, std::string_view more, double value) {
  Head(suffix, labels, more);
  AppendNumber(text_, value);
  Tail(0);
}

}  // namespace burstlet
