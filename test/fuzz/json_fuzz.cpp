// Arbitrary bytes as JSON: scanner and codec neither crash nor disagree, and what is encoded can be read again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "kube/json.h"
#include "kube/json_scan.h"
#include "kube/watch_stream.h"

namespace {

template <typename T>
void RoundTrip(const std::string& text) {
  std::vector<std::string> unknown;
  const auto object = burstlet::kube::Decode<T>(text, &unknown);
  if (!object.ok()) return;
  const std::string encoded = burstlet::kube::Encode(*object);
  const auto again = burstlet::kube::Decode<T>(encoded);
  if (!again.ok() || burstlet::kube::Encode(*again) != encoded) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  RoundTrip<burstlet::kube::Pod>(text);
  RoundTrip<burstlet::kube::Node>(text);
  RoundTrip<burstlet::kube::Secret>(text);
  RoundTrip<burstlet::kube::ApiStatus>(text);
  (void)burstlet::kube::DecodeHead(text).ok();
  (void)burstlet::kube::ParseWatchEvent(text).ok();
  (void)burstlet::kube::ParseTime(text).ok();
  // The visitors hand out slices of the text, never more.
  const auto inside = [&text](std::string_view slice) {
    if (slice.data() < text.data() || slice.data() + slice.size() > text.data() + text.size()) std::abort();
    return true;
  };
  const auto members = [&inside](std::string_view key, std::string_view value) { return inside(key) && inside(value); };
  (void)burstlet::kube::VisitJsonMembers(text, members).ok();
  (void)burstlet::kube::VisitJsonElements(text, inside).ok();
  return 0;
}
