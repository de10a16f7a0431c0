// Manifests, indexes, configs: no input may do more than fail.
#include <string>

#include "cache/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace cache = burstlet::cache;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* type :
       {"", "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"}) {
    (void)cache::ParseManifest(text, type);
  }
  (void)cache::ParseConfig(text, size % 4);
  return 0;
}
