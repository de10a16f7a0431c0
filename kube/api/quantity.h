// resource.Quantity arithmetic (apimachinery pkg/api/resource/quantity.go), exact in nano units up to 2^63.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "kube/api/meta.h"

namespace burstlet::kube {

/// kInvalidArgument for text that the API server would refuse.
absl::StatusOr<Quantity> ParseQuantity(const std::string& text);
/// Rounded up, as Quantity.Value(): "1500m" -> 2; "1Ki" -> 1024. Saturates. Text must have been parsed before.
std::int64_t QuantityValue(const Quantity& quantity);
/// Rounded up, as Quantity.MilliValue().
std::int64_t QuantityMilliValue(const Quantity& quantity);
/// Canonical text from a number: DecimalSI ("2", "500m") or BinarySI ("64Mi").
Quantity QuantityFromMilli(std::int64_t milli);
Quantity QuantityFromBytes(std::int64_t bytes);
Quantity QuantityFromCount(std::int64_t count);
int CompareQuantity(const Quantity& a, const Quantity& b);
Quantity AddQuantity(const Quantity& a, const Quantity& b);
Quantity SubtractQuantity(const Quantity& a, const Quantity& b);

}  // namespace burstlet::kube
