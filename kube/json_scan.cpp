#include "kube/json_scan.h"

#include <array>
#include <string>

#include "absl/strings/str_cat.h"

namespace burstlet::kube {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
bool EndsScalar(char c) { return IsSpace(c) || c == ',' || c == ']' || c == '}' || c == ':'; }

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::size_t at() const { return at_; }
  bool AtEnd() const { return at_ >= text_.size(); }

  void SkipSpace() {
    while (!AtEnd() && IsSpace(text_[at_])) ++at_;
  }

  /// Skips space, then takes `c` if it is next.
  bool Take(char c) {
    SkipSpace();
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  /// A string with its quotes; `at` is on the first one.
  bool SkipString() {
    for (++at_; !AtEnd(); ++at_) {
      const char c = text_[at_];
      if (c == '\\') {
        ++at_;
      } else if (c == '"') {
        ++at_;
        return true;
      }
    }
    return false;
  }

  /// One whole value; brackets are matched by kind.
  absl::Status SkipValue() {
    SkipSpace();
    std::array<char, kMaxJsonDepth> closers{};
    int depth = 0;
    do {
      SkipSpace();
      if (AtEnd()) return Malformed("ends too early");
      const char c = text_[at_];
      if (c == '"') {
        if (!SkipString()) return Malformed("ends inside a string");
      } else if (c == '{' || c == '[') {
        if (depth == kMaxJsonDepth) return Malformed("nests too deep");
        closers[static_cast<std::size_t>(depth++)] = c == '{' ? '}' : ']';
        ++at_;
      } else if (c == '}' || c == ']') {
        if (depth == 0 || closers[static_cast<std::size_t>(--depth)] != c) return Malformed("has a stray bracket");
        ++at_;
      } else if (depth > 0 && (c == ',' || c == ':')) {
        ++at_;
      } else if (EndsScalar(c)) {
        return Malformed("lacks a value");
      } else {
        while (!AtEnd() && !EndsScalar(text_[at_])) ++at_;
      }
    } while (depth > 0);
    return absl::OkStatus();
  }

  std::string_view Slice(std::size_t begin) const { return text_.substr(begin, at_ - begin); }

  absl::Status Malformed(const char* what) const {
    return absl::InvalidArgumentError(absl::StrCat("JSON ", what, " (offset ", at_, ")"));
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

absl::Status CheckJsonOutline(std::string_view text) {
  Scanner scanner(text);
  const absl::Status status = scanner.SkipValue();
  if (!status.ok()) return status;
  scanner.SkipSpace();
  return scanner.AtEnd() ? absl::OkStatus() : scanner.Malformed("goes on after its value");
}

absl::Status VisitJsonMembers(std::string_view object,
                              const std::function<bool(std::string_view, std::string_view)>& visit) {
  Scanner scanner(object);
  if (!scanner.Take('{')) return scanner.Malformed("is no object");
  if (scanner.Take('}')) return absl::OkStatus();
  while (true) {
    scanner.SkipSpace();
    const std::size_t key_at = scanner.at();
    if (scanner.AtEnd() || object[key_at] != '"') return scanner.Malformed("lacks a member's name");
    if (!scanner.SkipString()) return scanner.Malformed("ends inside a string");
    const std::string_view key = scanner.Slice(key_at);
    if (!scanner.Take(':')) return scanner.Malformed("lacks a colon");
    scanner.SkipSpace();
    const std::size_t value_at = scanner.at();
    const absl::Status status = scanner.SkipValue();
    if (!status.ok()) return status;
    if (!visit(key.substr(1, key.size() - 2), scanner.Slice(value_at))) return absl::OkStatus();
    if (scanner.Take('}')) return absl::OkStatus();
    if (!scanner.Take(',')) return scanner.Malformed("lacks a comma");
  }
}

absl::Status VisitJsonElements(std::string_view array, const std::function<bool(std::string_view)>& visit) {
  Scanner scanner(array);
  if (!scanner.Take('[')) return scanner.Malformed("is no array");
  if (scanner.Take(']')) return absl::OkStatus();
  while (true) {
    scanner.SkipSpace();
    const std::size_t value_at = scanner.at();
    const absl::Status status = scanner.SkipValue();
    if (!status.ok()) return status;
    if (!visit(scanner.Slice(value_at))) return absl::OkStatus();
    if (scanner.Take(']')) return absl::OkStatus();
    if (!scanner.Take(',')) return scanner.Malformed("lacks a comma");
  }
}

}  // namespace burstlet::kube
