#include "kube/server/debug_flags.h"

#include <charconv>
#include <cstdint>

#include "metrics/log.h"

namespace burstlet::kube {

HttpResponse ChangeVerbosity(const HttpRequest& request) {
  if (request.method != "PUT") return TextResponse(406, "unsupported http method");
  const std::string& text = request.body;
  std::int32_t level = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), level);
  if (error != std::errc() || end != text.data() + text.size() || level < 0) {
    return TextResponse(400, "the verbosity is to be a whole number from 0 on, not \"" + text + "\"");
  }
  SetLogVerbosity(level);
  Info("The verbosity has been changed", {{"v", level}});
  return TextResponse(200, "successfully set klog.logging.verbosity to " + text);
}

}  // namespace burstlet::kube
