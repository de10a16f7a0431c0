#include "kube/server/zpages.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>

namespace burstlet::kube {
namespace {

constexpr char kComponent[] = "kubelet";
constexpr char kGroup[] = "config.k8s.io";

enum class Form { kText, kJson, kYaml };

struct Wanted {
  Form form = Form::kText;
  std::string version;  // of an object
};

std::string Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return std::string(text);
}

/// One clause of an Accept header.
struct Clause {
  std::string type;
  std::map<std::string, std::string> parameters;
  double quality = 1;
};

Clause ParseClause(std::string_view text) {
  Clause clause;
  std::size_t at = text.find(';');
  clause.type = ToLower(Trim(text.substr(0, at)));
  while (at != std::string_view::npos) {
    text.remove_prefix(at + 1);
    at = text.find(';');
    const std::string_view word = text.substr(0, at);
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    clause.parameters[Trim(word.substr(0, equals))] = Trim(word.substr(equals + 1));
  }
  const auto quality = clause.parameters.find("q");
  if (quality != clause.parameters.end()) clause.quality = std::strtod(quality->second.c_str(), nullptr);
  return clause;
}

std::string Parameter(const Clause& clause, const std::string& name) {
  const auto it = clause.parameters.find(name);
  return it == clause.parameters.end() ? "" : it->second;
}

std::optional<Wanted> Match(const Clause& clause, const std::string& kind) {
  const bool named = !Parameter(clause, "as").empty();
  const bool text = clause.type == "*/*" || clause.type == "text/*" || clause.type == "text/plain";
  if (text && !named) return Wanted{};
  const bool any = clause.type == "*/*" || clause.type == "application/*";
  const bool json = any || clause.type == "application/json";
  if (!json && clause.type != "application/yaml") return std::nullopt;
  const std::string version = Parameter(clause, "v");
  if (Parameter(clause, "as") != kind || Parameter(clause, "g") != kGroup) return std::nullopt;
  if (version != "v1beta1" && version != "v1alpha1") return std::nullopt;
  return Wanted{json ? Form::kJson : Form::kYaml, version};
}

/// Nothing: none of what the client takes is served.
std::optional<Wanted> Negotiate(const HttpRequest& request, const std::string& kind) {
  std::vector<Clause> clauses;
  for (const std::string& token : request.HeaderTokens("Accept")) {
    if (!token.empty()) clauses.push_back(ParseClause(token));
  }
  if (clauses.empty()) return Wanted{};
  // The best liked that fits; of equals the first.
  std::optional<Wanted> best;
  double quality = 0;
  for (const Clause& clause : clauses) {
    if (clause.quality <= quality) continue;
    if (auto wanted = Match(clause, kind)) {
      best = std::move(wanted);
      quality = clause.quality;
    }
  }
  return best;
}

HttpResponse NotAcceptable() {
  HttpResponse response = TextResponse(
      406,
      "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"only the "
      "following "
      "media types are accepted: application/json, application/yaml, text/plain\",\"reason\":\"NotAcceptable\","
      "\"code\":406}\n");
  response.content_type = "application/json";
  return response;
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string TimeText(std::int64_t seconds, const char* format) {
  const std::time_t time = seconds;
  std::tm civil{};
  gmtime_r(&time, &civil);
  char buffer[64];
  return {buffer, std::strftime(buffer, sizeof(buffer), format, &civil)};
}

/// Members of an object, values already JSON; JSON values are YAML too.
using Members = std::vector<std::pair<std::string, std::string>>;

HttpResponse ObjectResponse(const Wanted& wanted, const std::string& kind, Members members) {
  members.insert(members.begin(), {{"kind", Quoted(kind)},
                                   {"apiVersion", Quoted(std::string(kGroup) + "/" + wanted.version)},
                                   {"metadata", std::string("{\"name\":\"") + kComponent + "\"}"}});
  std::string body;
  for (const auto& [name, value] : members) {
    if (wanted.form == Form::kYaml) {
      body += name + ": " + value + "\n";
    } else {
      body += (body.empty() ? "{" : ",") + Quoted(name) + ":" + value;
    }
  }
  if (wanted.form == Form::kJson) body += "}\n";
  HttpResponse response = TextResponse(200, std::move(body));
  response.content_type = wanted.form == Form::kJson ? "application/json" : "application/yaml";
  if (wanted.version == "v1alpha1") {
    response.headers.emplace_back("Warning", "299 - \"This version of the " + ToLower(kind) +
                                                 " endpoint is deprecated. Please use a newer version.\"");
  }
  return response;
}

std::string Header(const std::string& page) {
  return std::string("\n") + kComponent + " " + page +
         "\nWarning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees "
         "and is for debugging purposes only.\n";
}

std::string StatuszText(const StatuszFacts& facts) {
  const std::int64_t up = std::max<std::int64_t>(0, facts.now - facts.started_at);
  char uptime[64];
  std::snprintf(uptime, sizeof(uptime), "%lld hr %02lld min %02lld sec", static_cast<long long>(up / 3600),
                static_cast<long long>((up / 60) % 60), static_cast<long long>(up % 60));
  std::string paths;
  for (const std::string& path : facts.paths) paths += (paths.empty() ? "" : " ") + path;
  return Header("statusz") + "\nStarted: " + TimeText(facts.started_at, "%a %b %e %H:%M:%S UTC %Y") +
         "\nUp: " + uptime + "\nGo version: \nBinary version: " + facts.binary_version +
         "\nEmulation version: " + facts.emulation_version + "\nPaths: " + paths + "\n";
}

}  // namespace

HttpResponse Statusz(const HttpRequest& request, const StatuszFacts& facts) {
  const std::optional<Wanted> wanted = Negotiate(request, "Statusz");
  if (!wanted) return NotAcceptable();
  if (wanted->form == Form::kText) return TextResponse(200, StatuszText(facts));
  std::string paths;
  for (const std::string& path : facts.paths) paths += (paths.empty() ? "" : ",") + Quoted(path);
  return ObjectResponse(*wanted, "Statusz",
                        {{"startTime", Quoted(TimeText(facts.started_at, "%Y-%m-%dT%H:%M:%SZ"))},
                         {"uptimeSeconds", std::to_string(std::max<std::int64_t>(0, facts.now - facts.started_at))},
                         {"goVersion", Quoted("")},
                         {"binaryVersion", Quoted(facts.binary_version)},
                         {"emulationVersion", Quoted(facts.emulation_version)},
                         {"paths", "[" + paths + "]"}});
}

HttpResponse Flagz(const HttpRequest& request, const std::map<std::string, std::string>& flags) {
  const std::optional<Wanted> wanted = Negotiate(request, "Flagz");
  if (!wanted) return NotAcceptable();
  std::string text = Header("flagz");
  std::string object;
  for (const auto& [name, value] : flags) {
    text += name + "=" + value + "\n";
    object += (object.empty() ? "" : ",") + Quoted(name) + ":" + Quoted(value);
  }
  if (wanted->form == Form::kText) return TextResponse(200, std::move(text));
  return ObjectResponse(*wanted, "Flagz", {{"flags", "{" + object + "}"}});
}

}  // namespace burstlet::kube
