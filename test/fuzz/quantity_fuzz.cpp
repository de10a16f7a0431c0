// Arbitrary bytes as a quantity: no overflow, and the arithmetic keeps its laws.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "kube/api/quantity.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace burstlet::kube;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto quantity = ParseQuantity(text);
  if (!quantity.ok()) return 0;
  (void)QuantityMilliValue(*quantity);
  const Quantity zero{"0"};
  // The canonical text has the same value, and is its own canonical text.
  const Quantity canonical = AddQuantity(zero, *quantity);
  if (!ParseQuantity(canonical.text).ok() || CompareQuantity(canonical, *quantity) != 0) std::abort();
  if (AddQuantity(zero, canonical).text != canonical.text) std::abort();
  if (CompareQuantity(SubtractQuantity(*quantity, *quantity), zero) != 0) std::abort();
  if (QuantityValue(*quantity) != QuantityValue(canonical)) std::abort();
  return 0;
}
