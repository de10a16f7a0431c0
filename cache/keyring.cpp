// Pull secrets to credentials, by the kubelet's matching rules (pkg/credentialprovider/{config,keyring}.go).

#include <algorithm>
#include <functional>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cache/base64.h"
#include "cache/image_ref.h"
#include "cache/image_store.h"
#include "cache/json.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr std::size_t kMaxSecretBytes = 1u << 20;  // the API server's own limit for a Secret
constexpr std::string_view kDefaultRegistryHost = "index.docker.io";

/// "host[:port]" and "/path" of one entry or image.
struct Location {
  std::string host;
  std::string port;
  std::string path;
};

Location SplitLocation(std::string_view text) {
  Location out;
  const std::size_t slash = text.find('/');
  std::string_view authority = text.substr(0, slash);
  if (slash != std::string_view::npos) out.path = std::string(text.substr(slash));
  const std::size_t colon = authority.rfind(':');
  const std::size_t bracket = authority.rfind(']');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    out.port = std::string(authority.substr(colon + 1));
    authority = authority.substr(0, colon);
  }
  out.host = std::string(authority);
  return out;
}

/// A registry key as the keyring stores it: no scheme, "/v1/" and "/v2/" as good as nothing.
std::string EntryKey(std::string_view entry) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (entry.substr(0, scheme.size()) == scheme) entry.remove_prefix(scheme.size());
  }
  const std::size_t slash = entry.find('/');
  if (slash == std::string_view::npos) return std::string(entry);
  std::string_view path = entry.substr(slash);
  path = path.substr(0, path.find_first_of("?#"));
  if (path.substr(0, 4) == "/v1/" || path.substr(0, 4) == "/v2/") path.remove_prefix(3);
  if (path == "/") path = "";
  return std::string(entry.substr(0, slash)) + std::string(path);
}

/// One host label against one of the glob: '*' and '?' (filepath.Match without classes, which hosts have no use for).
bool LabelMatches(std::string_view glob, std::string_view label) {
  std::size_t g = 0, l = 0, star = std::string_view::npos, mark = 0;
  while (l < label.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      mark = l;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == label[l])) {
      ++g, ++l;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      l = ++mark;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

std::vector<std::string_view> Labels(std::string_view host) {
  std::vector<std::string_view> out;
  while (true) {
    const std::size_t dot = host.find('.');
    out.push_back(host.substr(0, dot));
    if (dot == std::string_view::npos) return out;
    host.remove_prefix(dot + 1);
  }
}

bool LocationMatches(const Location& glob, const Location& target) {
  if (glob.port != target.port) return false;
  const auto globs = Labels(glob.host);
  const auto labels = Labels(target.host);
  if (globs.size() != labels.size()) return false;
  if (target.path.compare(0, glob.path.size(), glob.path) != 0) return false;
  for (std::size_t i = 0; i < globs.size(); ++i) {
    if (!LabelMatches(globs[i], labels[i])) return false;
  }
  return true;
}

absl::StatusOr<Credentials> ParseEntry(const std::string& registry, const Json& entry) {
  Credentials out;
  out.username = entry["username"].Text();
  out.password = entry["password"].Text();
  out.identity_token = entry["identitytoken"].Text();
  out.registry_token = entry["registrytoken"].Text();
  const std::string& auth = entry["auth"].Text();
  if (auth.empty()) return out;
  absl::StatusOr<std::string> decoded = Base64Decode(auth);
  const std::size_t colon = decoded.ok() ? decoded->find(':') : std::string::npos;
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("unable to parse auth field of the entry for \"", registry,
                                                   "\": must be formatted as base64(username:password)"));
  }
  out.username = decoded->substr(0, colon);
  out.password = decoded->substr(colon + 1);
  while (!out.password.empty() && out.password.back() == '\0') out.password.pop_back();
  return out;
}

/// Longer keys first, as in the kubelet's reverse-sorted index.
using Index = std::map<std::string, std::vector<Credentials>, std::greater<>>;

absl::Status AddEntries(const Json& entries, Index* index) {
  for (const auto& [registry, entry] : entries.object) {
    ASSIGN_OR_RETURN(Credentials credentials, ParseEntry(registry, entry));
    (*index)[EntryKey(registry)].push_back(std::move(credentials));
  }
  return absl::OkStatus();
}

}  // namespace

std::string Base64Encode(std::string_view data) { return absl::Base64Escape(std::string(data)); }

absl::StatusOr<std::string> Base64Decode(std::string_view text) {
  std::string standard;
  for (const char c : text) {
    if (c == '\n' || c == '\r') continue;
    standard += c == '-' ? '+' : c == '_' ? '/' : c;
  }
  std::string out;
  if (!absl::Base64Unescape(standard, &out)) return absl::InvalidArgumentError("invalid base64");
  return out;
}

absl::StatusOr<std::vector<Credentials>> CredentialsFor(const std::string& reference,
                                                        const std::vector<std::string>& docker_config_json,
                                                        const std::vector<std::string>& dockercfg_json) {
  ASSIGN_OR_RETURN(const ImageRef ref, ParseImageRef(reference));
  Index index;
  for (const std::string& document : docker_config_json) {
    ASSIGN_OR_RETURN(const Json json, ParseJson(document, kMaxSecretBytes));
    RETURN_IF_ERROR(AddEntries(json["auths"], &index));
  }
  for (const std::string& document : dockercfg_json) {
    ASSIGN_OR_RETURN(const Json json, ParseJson(document, kMaxSecretBytes));
    RETURN_IF_ERROR(AddEntries(json, &index));
  }
  std::vector<Credentials> out;
  const Location target = SplitLocation(ref.Name());
  for (const auto& [key, credentials] : index) {
    if (LocationMatches(SplitLocation(key), target)) out.insert(out.end(), credentials.begin(), credentials.end());
  }
  if (out.empty() && ref.domain == "docker.io") {
    const auto it = index.find(std::string(kDefaultRegistryHost));
    if (it != index.end()) out = it->second;
  }
  return out;
}

}  // namespace burstlet::cache
