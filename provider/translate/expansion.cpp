#include "provider/translate/expansion.h"

#include "provider/translate/environment.h"

namespace burstlet::provider {

std::string ExpandWith(const std::string& text, const std::function<std::string(const std::string&)>& lookup) {
  std::string result;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text[at] != '$' || at + 1 == text.size()) {
      result.push_back(text[at++]);
      continue;
    }
    if (text[at + 1] == '$') {  // "$$" is a plain "$", so "$$(X)" is the text "$(X)"
      result.push_back('$');
      at += 2;
      continue;
    }
    const std::size_t close = text[at + 1] == '(' ? text.find(')', at + 2) : std::string::npos;
    if (close == std::string::npos) {  // no reference, or one that is never closed: both characters stay
      result.append(text, at, 2);
      at += 2;
      continue;
    }
    result += lookup(text.substr(at + 2, close - at - 2));
    at = close + 1;
  }
  return result;
}

std::string ExpandVariables(const std::string& text, const std::map<std::string, std::string>& values) {
  return ExpandWith(text, [&](const std::string& name) {
    auto found = values.find(name);
    return found == values.end() ? "$(" + name + ")" : found->second;
  });
}

std::vector<std::string> ReferencedVariables(const std::string& text) {
  std::vector<std::string> names;
  ExpandWith(text, [&](const std::string& name) {
    names.push_back(name);
    return std::string();
  });
  return names;
}

std::map<std::string, std::string> EnvironmentMap(const std::vector<std::string>& env) {
  std::map<std::string, std::string> result;
  for (const auto& line : env) {
    const std::size_t equals = line.find('=');
    if (equals != std::string::npos) result[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return result;
}

}  // namespace burstlet::provider
