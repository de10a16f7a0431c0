#include "cache/auth_challenge.h"

#include "absl/strings/ascii.h"

namespace burstlet::cache {
namespace {

constexpr std::size_t kMaxHeader = 8192;
constexpr std::size_t kMaxChallenges = 8;

bool IsToken(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool AtEnd() const { return at_ >= text_.size(); }
  void SkipSeparators() {
    while (!AtEnd() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == ',')) ++at_;
  }
  void SkipBlanks() {
    while (!AtEnd() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  std::string Token() {
    const std::size_t start = at_;
    while (!AtEnd() && IsToken(text_[at_])) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }
  bool Take(char c) {
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void Skip() { ++at_; }
  std::string Value() {
    if (!Take('"')) return Token();
    std::string out;
    while (!AtEnd() && text_[at_] != '"') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out += text_[at_++];
    }
    Take('"');
    return out;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<AuthChallenge> ParseAuthChallenges(std::string_view header) {
  std::vector<AuthChallenge> out;
  Scanner scanner(header.substr(0, kMaxHeader));
  while (true) {
    scanner.SkipSeparators();
    if (scanner.AtEnd()) return out;
    const std::string token = absl::AsciiStrToLower(scanner.Token());
    if (token.empty()) {
      scanner.Skip();
      continue;
    }
    scanner.SkipBlanks();
    if (scanner.Take('=')) {
      scanner.SkipBlanks();
      std::string value = scanner.Value();
      if (!out.empty()) out.back().parameters.emplace(token, std::move(value));
    } else {
      if (out.size() >= kMaxChallenges) return out;
      out.push_back({token, {}});
    }
  }
}

}  // namespace burstlet::cache
