// /statusz and /flagz: what a component says of itself, as text for people and as objects of config.k8s.io.
//
// Pure. Without an Accept header, or with one that takes text, the answer is text; JSON and YAML are given only for an
// object asked for by name ("application/json;v=v1beta1;g=config.k8s.io;as=Statusz"); else 406.
// Source: KEP-4827, KEP-4828, k8s.io/apiserver/pkg/server/{statusz,flagz}.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kube/server/http_message.h"

namespace burstlet::kube {

struct StatuszFacts {
  std::int64_t started_at = 0;  // unix seconds
  std::int64_t now = 0;
  std::string binary_version;     // "1.37.2+burstlet-0.1.0"
  std::string emulation_version;  // "1.37"
  std::vector<std::string> paths;
};

HttpResponse Statusz(const HttpRequest& request, const StatuszFacts& facts);
HttpResponse Flagz(const HttpRequest& request, const std::map<std::string, std::string>& flags);

}  // namespace burstlet::kube
