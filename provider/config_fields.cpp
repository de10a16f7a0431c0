#include "provider/config_fields.h"

#include <cmath>
#include <cstdlib>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kube/api/quantity.h"
#include "kube/json.h"
#include "metrics/status.h"

namespace burstlet::provider::fields {
namespace {

absl::Status FieldError(const YamlNode& node, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", node.line, ": ", what));
}

absl::Status Wrong(const std::string& what) { return absl::InvalidArgumentError(what); }

/// Empty texts are left out.
std::string Shown(const std::string& text) { return text.empty() ? "" : kube::EncodeText(text); }

template <typename Texts>
std::string ShownList(const Texts& texts) {
  if (texts.empty()) return "";
  return absl::StrCat(
      "[",
      absl::StrJoin(texts, ",",
                    [](std::string* out, const std::string& text) { absl::StrAppend(out, kube::EncodeText(text)); }),
      "]");
}

}  // namespace

absl::Status Apply(const YamlNode& node, const std::string& path, const Fields& fields) {
  if (node.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  if (node.kind != YamlNode::Kind::kMap) return FieldError(node, absl::StrCat(path, ": expected a map"));
  for (const auto& [key, value] : node.fields) {
    const std::string name = path.empty() ? key : absl::StrCat(path, ".", key);
    const auto setter = fields.find(key);
    if (setter == fields.end()) return FieldError(value, absl::StrCat("unknown field \"", name, "\""));
    if (value.kind == YamlNode::Kind::kNull) continue;
    const absl::Status status = setter->second.take(value);
    if (status.ok()) continue;
    const std::string text(status.message());
    // Nested maps have named themselves already.
    return text.rfind("line ", 0) == 0 ? status : FieldError(value, absl::StrCat(name, ": ", text));
  }
  return absl::OkStatus();
}

std::string Show(const Fields& fields) {
  std::string members;
  for (const auto& [name, field] : fields) {
    const std::string value = field.show ? field.show() : "";
    if (!value.empty()) absl::StrAppend(&members, members.empty() ? "" : ",", kube::EncodeText(name), ":", value);
  }
  return absl::StrCat("{", members, "}");
}

Field Group(std::string path, Fields fields) {
  auto shared = std::make_shared<const Fields>(std::move(fields));
  return {[path = std::move(path), shared](const YamlNode& node) { return Apply(node, path, *shared); },
          [shared] { return Show(*shared); }};
}

Field Text(std::string& out) {
  return {[&out](const YamlNode& node) -> absl::Status {
            if (node.kind == YamlNode::Kind::kSequence || node.kind == YamlNode::Kind::kMap)
              return Wrong("expected a string");
            out = node.scalar;
            return absl::OkStatus();
          },
          [&out] { return Shown(out); }};
}

Field Choice(std::string& out, std::set<std::string> allowed) {
  return {[&out, allowed = std::move(allowed)](const YamlNode& node) -> absl::Status {
            if (!allowed.contains(node.scalar)) {
              std::string list;
              for (const std::string& item : allowed) absl::StrAppend(&list, list.empty() ? "" : ", ", item);
              return Wrong(absl::StrCat("\"", node.scalar, "\" is none of ", list));
            }
            out = node.scalar;
            return absl::OkStatus();
          },
          [&out] { return Shown(out); }};
}

Field Boolean(bool& out) {
  return {[&out](const YamlNode& node) -> absl::Status {
            if (node.kind != YamlNode::Kind::kBool) return Wrong("expected true or false");
            out = node.scalar == "true";
            return absl::OkStatus();
          },
          [&out] { return std::string(out ? "true" : "false"); }};
}

Setter WholeNumber(std::function<void(std::int64_t)> take, std::int64_t low, std::int64_t high) {
  return [take = std::move(take), low, high](const YamlNode& node) -> absl::Status {
    std::int64_t value = 0;
    if (node.kind != YamlNode::Kind::kInteger || !absl::SimpleAtoi(node.scalar, &value)) {
      return Wrong("expected a whole number");
    }
    if (value < low || value > high) return Wrong(absl::StrCat(value, " is not within ", low, " to ", high));
    take(value);
    return absl::OkStatus();
  };
}

std::string DurationText(std::chrono::microseconds duration) {
  const std::int64_t micros = duration.count();
  if (micros != 0 && std::abs(micros) < 1'000'000) return absl::StrCat(static_cast<double>(micros) / 1000, "ms");
  const std::int64_t seconds = micros / 1'000'000;
  std::string text;
  if (seconds >= 3600) absl::StrAppend(&text, seconds / 3600, "h");
  if (seconds >= 60) absl::StrAppend(&text, seconds / 60 % 60, "m");
  absl::StrAppend(&text, static_cast<double>(micros - seconds / 60 * 60'000'000) / 1e6, "s");
  return text;
}

/// metav1.Duration: "10s", "1m30s", "500ms".
absl::StatusOr<double> Seconds(const std::string& text) {
  double seconds = 0;
  std::size_t at = 0;
  const std::map<std::string, double> units{{"h", 3600}, {"m", 60}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}};
  while (at < text.size()) {
    const std::size_t unit_at = text.find_first_not_of("0123456789.", at);
    if (unit_at == std::string::npos || unit_at == at) return Wrong("expected a duration such as 10s or 1m30s");
    std::size_t end = text.find_first_of("0123456789.", unit_at);
    if (end == std::string::npos) end = text.size();
    const auto unit = units.find(text.substr(unit_at, end - unit_at));
    double number = 0;
    if (unit == units.end() || !absl::SimpleAtod(text.substr(at, unit_at - at), &number)) {
      return Wrong("expected a duration such as 10s or 1m30s");
    }
    seconds += number * unit->second;
    at = end;
  }
  return seconds;
}

Field QuotaPeriod(std::chrono::microseconds& out) {
  return {[&out](const YamlNode& node) -> absl::Status {
            ASSIGN_OR_RETURN(const double seconds, Seconds(node.scalar));
            if (seconds < 0.001 || seconds > 1) return Wrong("must be between 1ms and 1s, inclusive");
            out = std::chrono::microseconds(std::llround(seconds * 1e6));
            return absl::OkStatus();
          },
          [&out] { return kube::EncodeText(DurationText(out)); }};
}

Field Fraction(double& out) {
  return {[&out](const YamlNode& node) -> absl::Status {
            double value = 0;
            if (!absl::SimpleAtod(node.scalar, &value) || !(value > 0 && value <= 1)) {
              return Wrong(absl::StrCat("\"", node.scalar, "\" must be greater than 0 and less than or equal to 1.0"));
            }
            out = value;
            return absl::OkStatus();
          },
          [&out] { return out > 0 ? absl::StrCat(out) : std::string(); }};
}

Field Duration(std::chrono::seconds& out, std::int64_t low, std::int64_t high) {
  return {[&out, low, high](const YamlNode& node) -> absl::Status {
            const std::string& text = node.scalar;
            ASSIGN_OR_RETURN(const double seconds, Seconds(text));
            if (text.empty() || seconds < static_cast<double>(low) || seconds > static_cast<double>(high)) {
              return Wrong(absl::StrCat("\"", text, "\" is not within ", low, "s to ", high, "s"));
            }
            out = std::chrono::seconds(static_cast<std::int64_t>(seconds));
            return absl::OkStatus();
          },
          [&out] { return kube::EncodeText(DurationText(out)); }};
}

/// A list's items, each given to `add`.
Setter Items(std::function<void(const std::string&)> add) {
  return [add = std::move(add)](const YamlNode& node) -> absl::Status {
    if (node.kind != YamlNode::Kind::kSequence) return Wrong("expected a list");
    for (const YamlNode& item : node.items) {
      if (item.kind == YamlNode::Kind::kMap || item.kind == YamlNode::Kind::kSequence) return Wrong("expected strings");
      add(item.scalar);
    }
    return absl::OkStatus();
  };
}

Field TextLists(std::vector<std::pair<std::string, std::string>>& out) {
  return {[&out](const YamlNode& node) -> absl::Status {
            if (node.kind != YamlNode::Kind::kMap) return Wrong("expected a map");
            out.clear();
            for (const auto& [name, values] : node.fields) {
              const auto add = [&out, name](const std::string& value) { out.emplace_back(name, value); };
              RETURN_IF_ERROR(Annotate(Items(add)(values), name));
            }
            return absl::OkStatus();
          },
          {}};
}

Field TextList(std::vector<std::string>& out) {
  return {Items([&out](const std::string& item) { out.push_back(item); }), [&out] { return ShownList(out); }};
}

Field TextSet(std::set<std::string>& out) {
  return {Items([&out](const std::string& item) { out.insert(item); }), [&out] { return ShownList(out); }};
}

Field JoinedText(std::vector<std::string>& out, std::string separators) {
  return {[&out, separators](const YamlNode& node) -> absl::Status {
            if (node.kind == YamlNode::Kind::kSequence || node.kind == YamlNode::Kind::kMap)
              return Wrong("expected a string");
            out = absl::StrSplit(node.scalar, absl::ByAnyChar(separators), absl::SkipWhitespace());
            return absl::OkStatus();
          },
          [&out, separators] { return Shown(absl::StrJoin(out, separators.substr(0, 1))); }};
}

Field Size(std::int64_t& out) {
  return {[&out](const YamlNode& node) -> absl::Status {
            const auto size = kube::ParseQuantity(node.scalar);
            if (!size.ok()) return Wrong("expected a size such as 10Mi");
            out = kube::QuantityValue(*size);
            return absl::OkStatus();
          },
          [&out] {
            const bool mebi = out > 0 && out % (1 << 20) == 0;
            return kube::EncodeText(mebi ? absl::StrCat(out >> 20, "Mi") : absl::StrCat(out));
          }};
}

Field TextMap(std::map<std::string, std::string>& out) {
  return {[&out](const YamlNode& node) -> absl::Status {
            if (node.kind != YamlNode::Kind::kMap) return Wrong("expected a map");
            out.clear();
            for (const auto& [key, value] : node.fields) out[key] = value.scalar;
            return absl::OkStatus();
          },
          [&out] {
            if (out.empty()) return std::string();
            return absl::StrCat("{",
                                absl::StrJoin(out, ",",
                                              [](std::string* text, const auto& entry) {
                                                absl::StrAppend(text, kube::EncodeText(entry.first), ":",
                                                                kube::EncodeText(entry.second));
                                              }),
                                "}");
          }};
}

Field Reservations(std::map<std::string, std::string>& out) {
  return {[&out](const YamlNode& node) -> absl::Status {
            RETURN_IF_ERROR(TextMap(out).take(node));
            for (const auto& [resource, amount] : out) {
              const auto parsed = kube::ParseQuantity(amount);
              if (!parsed.ok()) return Wrong(absl::StrCat(resource, ": ", parsed.status().message()));
            }
            return absl::OkStatus();
          },
          [&out] { return TextMap(out).show(); }};
}

Field Taints(std::vector<kube::Taint>& out) {
  return {
      [&out](const YamlNode& node) -> absl::Status {
        if (node.kind != YamlNode::Kind::kSequence) return Wrong("expected a list of taints");
        out.clear();
        for (const YamlNode& item : node.items) {
          kube::Taint taint;
          RETURN_IF_ERROR(Apply(item, "registerWithTaints",
                                {{"key", Text(taint.key)},
                                 {"value", Text(taint.value)},
                                 {"effect", Choice(taint.effect, {"NoSchedule", "PreferNoSchedule", "NoExecute"})}}));
          if (taint.key.empty() || taint.effect.empty()) return Wrong("a taint needs key and effect");
          out.push_back(taint);
        }
        return absl::OkStatus();
      },
      [&out] {
        return absl::StrCat("[",
                            absl::StrJoin(out, ",",
                                          [](std::string* text, const kube::Taint& taint) {
                                            absl::StrAppend(text, kube::Encode(taint));
                                          }),
                            "]");
      }};
}

}  // namespace burstlet::provider::fields
