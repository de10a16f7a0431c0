#include "provider/translate/env_file.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::provider {
namespace {

constexpr char kBlank[] = " \t";

std::string TrimLeft(const std::string& text) {
  const std::size_t start = text.find_first_not_of(kBlank);
  return start == std::string::npos ? "" : text.substr(start);
}

/// Lines without their ends, "\n" or "\r\n".
class Lines {
 public:
  explicit Lines(const std::string& text) : text_(text) {}

  /// Nothing at the end of the text.
  absl::StatusOr<std::optional<std::string>> Next() {
    if (at_ >= text_.size()) return std::optional<std::string>();
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    std::string line = text_.substr(at_, end - at_);
    at_ = end + 1;
    ++number_;
    if (line.size() >= kMaxEnvFileLine) return Error("line too long");
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return std::optional<std::string>(std::move(line));
  }
  absl::Status Error(const std::string& what) const { return ErrorAt(number_, what); }
  static absl::Status ErrorAt(std::size_t number, const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("invalid environment variable format at line ", number, ": ", what));
  }
  std::size_t number() const { return number_; }

 private:
  const std::string& text_;
  std::size_t at_ = 0;
  std::size_t number_ = 0;
};

/// What is between the quotes, `rest` being the text after the first of them.
absl::StatusOr<std::string> QuotedValue(Lines& lines, std::string rest) {
  const std::size_t first_line = lines.number();
  std::string value;
  while (true) {
    const std::size_t quote = rest.find('\'');
    if (quote != std::string::npos) {
      value += rest.substr(0, quote);
      const std::string after = TrimLeft(rest.substr(quote + 1));
      if (!after.empty() && after.front() != '#') return lines.Error("unexpected content after closing quote");
      return value;
    }
    value += rest + "\n";
    ASSIGN_OR_RETURN(auto line, lines.Next());
    if (!line) return Lines::ErrorAt(first_line, "unclosed single quote");
    rest = *std::move(line);
  }
}

}  // namespace

absl::StatusOr<std::string> EnvFileValue(const std::string& text, const std::string& key) {
  Lines lines(text);
  while (true) {
    ASSIGN_OR_RETURN(const auto next, lines.Next());
    if (!next) return std::string();
    const std::string line = TrimLeft(*next);
    if (line.empty() || line.front() == '#') continue;
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) return lines.Error("missing '='");
    const std::string name = line.substr(0, equals);
    if (name.find_first_not_of(kBlank) == std::string::npos) return lines.Error("empty variable name");
    if (name.find_last_not_of(kBlank) + 1 != name.size()) return lines.Error("whitespace before '=' is not allowed");
    const std::string rest = line.substr(equals + 1);
    // As in a shell, NAME= 'value' leaves NAME empty.
    if (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) {
      if (name == key) return std::string();
      continue;
    }
    if (rest.empty() || rest.front() != '\'') return lines.Error("value must be enclosed in single quotes");
    ASSIGN_OR_RETURN(std::string value, QuotedValue(lines, rest.substr(1)));
    if (name == key) return value;
  }
}

}  // namespace burstlet::provider
