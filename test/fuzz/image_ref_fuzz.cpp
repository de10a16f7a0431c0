// References: whatever is accepted is its own normal form and safe to put into a URL path.
#include <cstdlib>
#include <string>

#include "cache/auth_challenge.h"
#include "cache/image_ref.h"
#include "cache/image_store.h"
#include "cache/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace cache = burstlet::cache;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto ref = cache::ParseImageRef(text);
  if (ref.ok()) {
    const auto again = cache::ParseImageRef(ref->Text());
    if (!again.ok() || again->Text() != ref->Text()) std::abort();
    // A tag may hold dots as it likes (1:5..5): it is one word behind the path's last slash.
    if (ref->path.find("..") != std::string::npos || ref->Text().find_first_of("?#% \r\n") != std::string::npos) {
      std::abort();
    }
    if (!cache::ParseUrl("https://" + ref->domain + "/v2/" + ref->path + "/manifests/" + ref->Selector()).ok() &&
        ref->domain.front() != '[' && ref->domain.find(':') == std::string::npos) {
      std::abort();
    }
  }
  const auto url = cache::ParseUrl(text);
  if (url.ok()) {
    const auto again = cache::ParseUrl(url->Text());
    if (!again.ok() || again->Text() != url->Text()) std::abort();
    (void)cache::ResolveUrl(*url, text);
  }
  (void)cache::ParseAuthChallenges(text);
  (void)cache::CredentialsFor("reg.example.com/a/b:c", {text}, {text});
  return 0;
}
