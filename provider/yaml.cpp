#include "provider/yaml.h"

#include <yaml-cpp/yaml.h>

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::provider {
namespace {

constexpr int kMaxDepth = 200;
constexpr std::size_t kMaxNodes = 1'000'000;  // after alias expansion: a bomb guard

bool IsDigits(const std::string& text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) return false;
  }
  return true;
}

/// The decimal text of an integer scalar, or "".
std::string IntegerText(const std::string& text) {
  std::string body = text;
  bool negative = false;
  if (!body.empty() && (body[0] == '-' || body[0] == '+')) {
    negative = body[0] == '-';
    body = body.substr(1);
  }
  if (body.empty()) return "";
  int base = 10;
  if (body.size() > 2 && body[0] == '0' && (body[1] == 'x' || body[1] == 'X')) {
    base = 16;
    body = body.substr(2);
  } else if (body.size() > 2 && body[0] == '0' && (body[1] == 'o' || body[1] == 'O')) {
    base = 8;
    body = body.substr(2);
  } else if (body.size() > 1 && body[0] == '0') {
    base = 8;
    body = body.substr(1);
  }
  if (base == 10 && !IsDigits(body)) return "";
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = std::strtoull(body.c_str(), &end, base);
  if (errno != 0 || end == nullptr || *end != '\0' || std::isxdigit(static_cast<unsigned char>(body[0])) == 0)
    return "";
  return absl::StrCat(negative && value != 0 ? "-" : "", value);
}

bool IsFloat(const std::string& text) {
  if (text.empty()) return false;
  const char first = text[0];
  if (std::isdigit(static_cast<unsigned char>(first)) == 0 && first != '-' && first != '+' && first != '.')
    return false;
  if (text.find_first_not_of("0123456789+-.eE") != std::string::npos) return false;
  double value = 0;
  return absl::SimpleAtod(text, &value) && std::isfinite(value);
}

// YAML 1.1's spellings: kubectl takes them all.
const std::set<std::string> kTrue{"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"};
const std::set<std::string> kFalse{"false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"};

void ResolveScalar(const YAML::Node& in, YamlNode& out) {
  const std::string& text = in.Scalar();
  out.scalar = text;
  out.kind = YamlNode::Kind::kString;
  if (in.Tag() != "?" && in.Tag() != "") return;  // quoted, or tagged as a string
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
    out.kind = YamlNode::Kind::kNull;
  } else if (kTrue.contains(text)) {
    out.kind = YamlNode::Kind::kBool;
    out.scalar = "true";
  } else if (kFalse.contains(text)) {
    out.kind = YamlNode::Kind::kBool;
    out.scalar = "false";
  } else if (const std::string number = IntegerText(text); !number.empty()) {
    out.kind = YamlNode::Kind::kInteger;
    out.scalar = number;
  } else if (IsFloat(text)) {
    out.kind = YamlNode::Kind::kFloat;
  }
}

absl::Status LineError(int line, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", what));
}

absl::Status Convert(const YAML::Node& in, YamlNode& out, int depth, std::size_t& budget) {
  out.line = in.Mark().line + 1;
  if (depth > kMaxDepth) return LineError(out.line, "nested too deeply");
  if (budget-- == 0) return LineError(out.line, "too many values");
  switch (in.Type()) {
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null:
      return absl::OkStatus();
    case YAML::NodeType::Scalar:
      ResolveScalar(in, out);
      return absl::OkStatus();
    case YAML::NodeType::Sequence:
      out.kind = YamlNode::Kind::kSequence;
      for (const YAML::Node& item : in) {
        out.items.emplace_back();
        RETURN_IF_ERROR(Convert(item, out.items.back(), depth + 1, budget));
      }
      return absl::OkStatus();
    case YAML::NodeType::Map:
      break;
  }
  out.kind = YamlNode::Kind::kMap;
  std::set<std::string> seen;
  for (const auto& entry : in) {
    const int line = entry.first.Mark().line + 1;
    if (!entry.first.IsScalar()) return LineError(line, "a key that is not plain text");
    const std::string key = entry.first.Scalar();
    if (!seen.insert(key).second) return LineError(line, absl::StrCat("key \"", key, "\" given twice"));
    out.fields.push_back({key, YamlNode{}});
    YamlNode& value = out.fields.back().value;
    RETURN_IF_ERROR(Convert(entry.second, value, depth + 1, budget));
    // An empty value carries no mark of its own.
    if (value.line <= 0) value.line = line;
  }
  return absl::OkStatus();
}

void AppendJsonString(std::string& out, const std::string& text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void AppendJson(std::string& out, const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      out += "null";
      return;
    case YamlNode::Kind::kBool:
    case YamlNode::Kind::kInteger:
      out += node.scalar;
      return;
    case YamlNode::Kind::kFloat: {
      double value = 0;
      if (!absl::SimpleAtod(node.scalar, &value)) value = 0;
      out += absl::StrCat(value);
      return;
    }
    case YamlNode::Kind::kString:
      AppendJsonString(out, node.scalar);
      return;
    case YamlNode::Kind::kSequence: {
      out += '[';
      for (std::size_t i = 0; i < node.items.size(); ++i) {
        if (i != 0) out += ',';
        AppendJson(out, node.items[i]);
      }
      out += ']';
      return;
    }
    case YamlNode::Kind::kMap:
      break;
  }
  out += '{';
  for (std::size_t i = 0; i < node.fields.size(); ++i) {
    if (i != 0) out += ',';
    AppendJsonString(out, node.fields[i].key);
    out += ':';
    AppendJson(out, node.fields[i].value);
  }
  out += '}';
}

}  // namespace

const YamlNode* YamlNode::Find(const std::string& key) const {
  for (const auto& [name, value] : fields) {
    if (name == key) return &value;
  }
  return nullptr;
}

absl::StatusOr<std::vector<YamlNode>> ParseYaml(const std::string& text) {
  std::vector<YAML::Node> documents;
  try {
    documents = YAML::LoadAll(text);
  } catch (const YAML::Exception& error) {
    return LineError(error.mark.line + 1, error.msg);
  }
  std::vector<YamlNode> out;
  std::size_t budget = kMaxNodes;
  for (const YAML::Node& document : documents) {
    YamlNode node;
    RETURN_IF_ERROR(Convert(document, node, 0, budget));
    if (node.kind != YamlNode::Kind::kNull) out.push_back(std::move(node));
  }
  return out;
}

std::string YamlToJson(const YamlNode& node) {
  std::string out;
  AppendJson(out, node);
  return out;
}

}  // namespace burstlet::provider
