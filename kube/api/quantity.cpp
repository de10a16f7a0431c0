#include "kube/api/quantity.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace burstlet::kube {
namespace {

// Amounts are whole nano units. 2^63 units need 93 bits, so sums and comparisons fit with room to spare.
using Nano = __int128;

constexpr Nano kNanosPerUnit = 1'000'000'000;
constexpr std::int64_t kMaxUnits = std::numeric_limits<std::int64_t>::max();
constexpr Nano kMaxNanos = static_cast<Nano>(kMaxUnits) * kNanosPerUnit;

enum class Format { kDecimalSI, kBinarySI, kDecimalExponent };

struct Suffix {
  Format format = Format::kDecimalSI;
  int exponent = 0;  // of 10, or of 2 for kBinarySI
};

struct Amount {
  Nano nanos = 0;
  Format format = Format::kDecimalSI;
};

constexpr std::string_view kDecimalSuffixes = "num kMGTPE";  // 10^-9 .. 10^18, the blank is 10^0
constexpr std::string_view kBinarySuffixes = "KMGTPE";       // 2^10 .. 2^60

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::optional<Suffix> ParseSuffix(std::string_view text) {
  if (text.empty()) return Suffix{};
  if (text.size() == 1 && text != " ") {
    const auto at = kDecimalSuffixes.find(text[0]);
    if (at == std::string_view::npos) return std::nullopt;
    return Suffix{Format::kDecimalSI, static_cast<int>(at) * 3 - 9};
  }
  if (text.size() == 2 && text[1] == 'i') {
    const auto at = kBinarySuffixes.find(text[0]);
    if (at == std::string_view::npos) return std::nullopt;
    return Suffix{Format::kBinarySI, static_cast<int>(at) * 10 + 10};
  }
  if (text[0] != 'e' && text[0] != 'E') return std::nullopt;
  text.remove_prefix(1);
  bool negative = false;
  if (text[0] == '+' || text[0] == '-') {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.empty() || !std::all_of(text.begin(), text.end(), IsDigit)) return std::nullopt;
  int exponent = 0;
  // Beyond a thousand every number is either capped or the smallest one.
  for (const char c : text) exponent = std::min(exponent * 10 + (c - '0'), 1000);
  return Suffix{Format::kDecimalExponent, negative ? -exponent : exponent};
}

/// digits * 2^binary * 10^decimal in nano units: rounded away from zero, capped at kMaxNanos.
Nano Scale(std::string_view digits, int binary, int decimal) {
  constexpr Nano kRoom = kMaxNanos * 10;
  Nano value = 0;
  bool remainder = false;
  decimal += 9;
  // Leading digits as far as they fit; the rest of an oversized number only matters for size and rounding.
  for (const char c : digits) {
    if (value >= kRoom) {
      remainder = remainder || c != '0';
      ++decimal;
    } else {
      value = value * 10 + (c - '0');
    }
  }
  if (value == 0) return 0;
  for (; binary > 0; --binary) {
    if (value < kRoom) {
      value *= 2;
    } else if (decimal < 0) {
      remainder = remainder || value % 10 != 0;
      value = value / 10 * 2;
      ++decimal;
    } else {
      return kMaxNanos;
    }
  }
  for (; decimal > 0; --decimal) {
    if (value >= kMaxNanos) return kMaxNanos;
    value *= 10;
  }
  for (; decimal < 0 && value > 0; ++decimal) {
    remainder = remainder || value % 10 != 0;
    value /= 10;
  }
  if (remainder) ++value;
  return std::min(value, kMaxNanos);
}

absl::StatusOr<Amount> Parse(const std::string& text) {
  const auto malformed = [&text] {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text,
                     "\" is no quantity: a number with one of the suffixes n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, "
                     "Pi, Ei or an exponent is expected"));
  };
  std::string_view rest = text;
  if (rest.empty() || rest.size() > 256) return malformed();
  bool negative = false;
  if (rest[0] == '-' || rest[0] == '+') {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  std::string digits;
  int fraction = 0;
  bool seen_point = false;
  std::size_t at = 0;
  for (; at < rest.size() && (IsDigit(rest[at]) || (rest[at] == '.' && !seen_point)); ++at) {
    if (rest[at] == '.') {
      seen_point = true;
    } else {
      digits += rest[at];
      if (seen_point) ++fraction;
    }
  }
  const auto suffix = ParseSuffix(rest.substr(at));
  if (!suffix || digits.empty()) return malformed();
  const bool binary = suffix->format == Format::kBinarySI;
  Amount amount;
  amount.format = suffix->format;
  amount.nanos = Scale(digits, binary ? suffix->exponent : 0, (binary ? 0 : suffix->exponent) - fraction);
  if (binary && amount.nanos > 0 && amount.nanos < kNanosPerUnit) amount.format = Format::kDecimalSI;
  if (negative) amount.nanos = -amount.nanos;
  return amount;
}

Amount ParseOrZero(const Quantity& quantity) {
  auto amount = Parse(quantity.text);
  return amount.ok() ? *amount : Amount{};
}

/// Rounded up (towards positive infinity for what is above zero, away from zero below, as the server does).
std::int64_t DivideUp(Nano nanos, Nano unit) {
  const bool negative = nanos < 0;
  const Nano magnitude = negative ? -nanos : nanos;
  const Nano result = std::min<Nano>((magnitude + unit - 1) / unit, kMaxUnits);
  return static_cast<std::int64_t>(negative ? -result : result);
}

std::string ToText(Nano value) {
  // Magnitudes are below 2^94: two halves of 18 digits.
  constexpr Nano kHalf = 1'000'000'000'000'000'000;
  const bool negative = value < 0;
  if (negative) value = -value;
  std::string out = absl::StrCat(static_cast<std::uint64_t>(value % kHalf));
  if (value >= kHalf) {
    out = absl::StrCat(static_cast<std::uint64_t>(value / kHalf), std::string(18 - out.size(), '0'), out);
  }
  return negative ? "-" + out : out;
}

Quantity Canonical(const Amount& amount) {
  if (amount.nanos == 0) return {"0"};
  Format format = amount.format;
  const Nano magnitude = amount.nanos < 0 ? -amount.nanos : amount.nanos;
  if (format == Format::kBinarySI && (magnitude < 1024 * kNanosPerUnit || magnitude % kNanosPerUnit != 0)) {
    format = Format::kDecimalSI;
  }
  if (format == Format::kBinarySI) {
    Nano value = amount.nanos / kNanosPerUnit;
    std::size_t power = 0;
    for (; value % 1024 == 0 && power < kBinarySuffixes.size(); ++power) value /= 1024;
    return {power == 0 ? ToText(value) : absl::StrCat(ToText(value), std::string(1, kBinarySuffixes[power - 1]), "i")};
  }
  Nano value = amount.nanos;
  std::size_t power = 0;
  for (; value % 1000 == 0 && power + 1 < kDecimalSuffixes.size(); ++power) value /= 1000;
  const int exponent = static_cast<int>(power) * 3 - 9;
  if (exponent == 0) return {ToText(value)};
  if (format == Format::kDecimalExponent) return {absl::StrCat(ToText(value), "e", exponent)};
  return {ToText(value) + kDecimalSuffixes[power]};
}

Quantity Sum(const Quantity& a, const Quantity& b, int sign) {
  Amount left = ParseOrZero(a);
  const Amount right = ParseOrZero(b);
  // A zero takes the other's format, so that a running total starts neutral.
  if (left.nanos == 0) left.format = right.format;
  left.nanos = std::clamp<Nano>(left.nanos + sign * right.nanos, -kMaxNanos, kMaxNanos);
  return Canonical(left);
}

}  // namespace

absl::StatusOr<Quantity> ParseQuantity(const std::string& text) {
  const auto amount = Parse(text);
  if (!amount.ok()) return amount.status();
  return Quantity{text};
}

std::int64_t QuantityValue(const Quantity& quantity) { return DivideUp(ParseOrZero(quantity).nanos, kNanosPerUnit); }

std::int64_t QuantityMilliValue(const Quantity& quantity) {
  return DivideUp(ParseOrZero(quantity).nanos, kNanosPerUnit / 1000);
}

Quantity QuantityFromMilli(std::int64_t milli) {
  return Canonical({static_cast<Nano>(milli) * (kNanosPerUnit / 1000), Format::kDecimalSI});
}

Quantity QuantityFromBytes(std::int64_t bytes) {
  return Canonical({static_cast<Nano>(bytes) * kNanosPerUnit, Format::kBinarySI});
}

Quantity QuantityFromCount(std::int64_t count) {
  return Canonical({static_cast<Nano>(count) * kNanosPerUnit, Format::kDecimalSI});
}

int CompareQuantity(const Quantity& a, const Quantity& b) {
  const Nano left = ParseOrZero(a).nanos;
  const Nano right = ParseOrZero(b).nanos;
  return left < right ? -1 : (left > right ? 1 : 0);
}

Quantity AddQuantity(const Quantity& a, const Quantity& b) { return Sum(a, b, 1); }
Quantity SubtractQuantity(const Quantity& a, const Quantity& b) { return Sum(a, b, -1); }

}  // namespace burstlet::kube
