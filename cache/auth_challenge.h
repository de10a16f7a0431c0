// WWW-Authenticate headers (RFC 9110, 11.6.1; distribution spec "token"), from a stranger: parsed with bounds, pure.
// Failure: what makes no sense is left out.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace burstlet::cache {

struct AuthChallenge {
  std::string scheme;                             // lower case
  std::map<std::string, std::string> parameters;  // names in lower case
};

std::vector<AuthChallenge> ParseAuthChallenges(std::string_view header);

}  // namespace burstlet::cache
