#include "provider/validation_names.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace burstlet::provider::validation {
namespace {

constexpr std::size_t kLabelLength = 63;
constexpr std::size_t kSubdomainLength = 253;
constexpr std::size_t kPortNameLength = 15;

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLowerOrDigit(char c) { return IsLower(c) || IsDigit(c); }
bool IsAlphanumeric(char c) { return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z'); }

std::string MaxLength(std::size_t length) { return absl::StrCat("must be no more than ", length, " characters"); }

/// First and last character alphanumeric, `inner` ones between.
bool MatchesLabel(std::string_view text, std::string_view inner) {
  if (text.empty() || !IsLowerOrDigit(text.front()) || !IsLowerOrDigit(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [inner](char c) { return IsLowerOrDigit(c) || inner.find(c) != std::string_view::npos; });
}

template <typename Matches>
bool EachPart(const std::string& text, char separator, Matches matches) {
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = text.find(separator, begin);
    if (!matches(std::string_view(text).substr(begin, end == std::string::npos ? end : end - begin))) return false;
    if (end == std::string::npos) return true;
    begin = end + 1;
  }
}

bool MatchesSubdomain(const std::string& text) {
  return EachPart(text, '.', [](std::string_view part) { return MatchesLabel(part, "-"); });
}

bool MatchesSubdomainWithUnderscore(const std::string& text) {
  return EachPart(text, '.', [](std::string_view part) {
    if (part.starts_with('_')) part.remove_prefix(1);
    return MatchesLabel(part, "-_");
  });
}

bool MatchesLabelKey(std::string_view text) {
  if (text.empty() || !IsAlphanumeric(text.front()) || !IsAlphanumeric(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

void ForbidDots(const std::string& value, Messages& messages) {
  if (value == ".") messages.emplace_back("must not be '.'");
  if (value == "..") {
    messages.emplace_back("must not be '..'");
  } else if (value.starts_with("..")) {
    messages.emplace_back("must not start with '..'");
  }
}

const char kLabelKeyFormat[] =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?"
    "[A-Za-z0-9]')";

}  // namespace

Messages DnsLabel(const std::string& value) {
  Messages messages;
  if (value.size() > kLabelLength) messages.push_back(MaxLength(kLabelLength));
  if (MatchesLabel(value, "-")) return messages;
  messages.emplace_back(
      MatchesSubdomain(value)
          ? "must not contain dots"
          : "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
            "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
  return messages;
}

Messages DnsSubdomain(const std::string& value) {
  Messages messages;
  if (value.size() > kSubdomainLength) messages.push_back(MaxLength(kSubdomainLength));
  if (!MatchesSubdomain(value)) {
    messages.emplace_back(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
  }
  return messages;
}

Messages DnsSubdomainWithUnderscore(const std::string& value) {
  Messages messages;
  if (value.size() > kSubdomainLength) messages.push_back(MaxLength(kSubdomainLength));
  if (!MatchesSubdomainWithUnderscore(value)) {
    messages.emplace_back(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "
        "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        "'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')");
  }
  return messages;
}

Messages QualifiedName(const std::string& value) {
  Messages messages;
  const std::size_t slash = value.find('/');
  if (slash != value.rfind('/')) {
    return {absl::StrCat("a valid label key ", kLabelKeyFormat,
                         " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")};
  }
  if (slash != std::string::npos) {
    const std::string prefix = value.substr(0, slash);
    if (prefix.empty()) messages.emplace_back("prefix part must be non-empty");
    if (!prefix.empty()) {
      for (const std::string& message : DnsSubdomain(prefix)) messages.push_back(absl::StrCat("prefix part ", message));
    }
  }
  const std::string name = slash == std::string::npos ? value : value.substr(slash + 1);
  if (name.empty()) messages.emplace_back("name part must be non-empty");
  if (name.size() > kLabelLength) messages.push_back(absl::StrCat("name part ", MaxLength(kLabelLength)));
  if (!MatchesLabelKey(name)) messages.push_back(absl::StrCat("name part ", kLabelKeyFormat));
  return messages;
}

Messages LabelValue(const std::string& value) {
  Messages messages;
  if (value.size() > kLabelLength) messages.push_back(MaxLength(kLabelLength));
  if (!value.empty() && !MatchesLabelKey(value)) {
    messages.emplace_back(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
        "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
  }
  return messages;
}

Messages PortName(const std::string& value) {
  Messages messages;
  if (value.size() > kPortNameLength) messages.push_back(MaxLength(kPortNameLength));
  if (value.empty() || !std::all_of(value.begin(), value.end(), [](char c) { return IsLowerOrDigit(c) || c == '-'; })) {
    messages.emplace_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  if (std::none_of(value.begin(), value.end(), IsLower))
    messages.emplace_back("must contain at least one letter (a-z)");
  if (value.find("--") != std::string::npos) messages.emplace_back("must not contain consecutive hyphens");
  if (value.starts_with('-') || value.ends_with('-')) messages.emplace_back("must not begin or end with a hyphen");
  return messages;
}

Messages EnvName(const std::string& value) {
  if (value.empty()) return {"environment variable name must be non-empty"};
  const auto fits = [](char c) { return c >= 0x20 && c < 0x7f && c != '='; };
  if (std::all_of(value.begin(), value.end(), fits)) return {};
  return {"a valid environment variable name must consist only of printable ASCII characters other than '='"};
}

Messages ConfigKey(const std::string& value) {
  Messages messages;
  if (value.size() > kSubdomainLength) messages.push_back(MaxLength(kSubdomainLength));
  const auto fits = [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_' || c == '.'; };
  if (value.empty() || !std::all_of(value.begin(), value.end(), fits)) {
    messages.emplace_back(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME', "
        " or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')");
  }
  ForbidDots(value, messages);
  return messages;
}

Messages HttpHeaderName(const std::string& value) {
  if (!value.empty() && std::all_of(value.begin(), value.end(), [](char c) { return IsAlphanumeric(c) || c == '-'; })) {
    return {};
  }
  return {
      "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
      "validation is '[-A-Za-z0-9]+')"};
}

Messages IpAddress(const std::string& value) {
  in6_addr six{};
  in_addr four{};
  if (inet_pton(AF_INET, value.c_str(), &four) == 1) return {};
  if (inet_pton(AF_INET6, value.c_str(), &six) == 1) {
    if (IN6_IS_ADDR_V4MAPPED(&six)) return {"must not be an IPv4-mapped IPv6 address"};
    return {};
  }
  // Go's old parser took 010.1.2.3; the API server still tells these apart.
  std::string stripped;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(value, '.'))) {
    const std::size_t digit = std::min(part.find_first_not_of('0'), part.empty() ? 0 : part.size() - 1);
    absl::StrAppend(&stripped, stripped.empty() ? "" : ".", part.substr(digit));
  }
  if (inet_pton(AF_INET, stripped.c_str(), &four) == 1) return {"must not have leading 0s"};
  return {"must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"};
}

Messages NoBacksteps(const std::string& path) {
  const bool clean = EachPart(path, '/', [](std::string_view part) { return part != ".."; });
  return clean ? Messages{} : Messages{"must not contain '..'"};
}

Messages DescendingPath(const std::string& path) {
  Messages messages = NoBacksteps(path);
  if (path.starts_with('/')) messages.insert(messages.begin(), "must be a relative path");
  return messages;
}

Messages LocalPath(const std::string& path) {
  Messages messages = DescendingPath(path);
  if (path.starts_with("..") && !path.starts_with("../")) messages.emplace_back("must not start with '..'");
  return messages;
}

bool IsSysctlName(std::string_view name) {
  if (name.empty() || name.size() > kSubdomainLength) return false;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = name.find_first_of("./", begin);
    if (!MatchesLabel(name.substr(begin, end == std::string_view::npos ? end : end - begin), "-_")) return false;
    if (end == std::string_view::npos) return true;
    begin = end + 1;
  }
}

}  // namespace burstlet::provider::validation
