// Arbitrary bytes as an environment file, as a container may leave them: bounded, and a value found is in the file.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "provider/translate/env_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace burstlet::provider;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto value = EnvFileValue(text, "KEY");
  if (!value.ok()) return 0;
  if (value->size() > text.size() || value->find('\'') != std::string::npos) std::abort();
  // What was found is found again when it is written by the rules. A file's "\r\n" is read as "\n".
  const auto again = EnvFileValue("KEY='" + *value + "'", "KEY");
  const bool has_returns = value->find('\r') != std::string::npos;
  if (!has_returns && (!again.ok() || *again != *value)) std::abort();
  return 0;
}
