#include "provider/stats/rates.h"

namespace burstlet::provider {
namespace {

constexpr std::int64_t kWindow = 5'000'000'000;

std::optional<std::uint64_t> Rate(std::uint64_t usage_ns, std::int64_t nanos) {
  if (nanos <= 0) return std::nullopt;
  return static_cast<std::uint64_t>(static_cast<double>(usage_ns) * 1e9 / static_cast<double>(nanos));
}

}  // namespace

std::optional<std::uint64_t> CpuRates::Update(const std::string& key, std::uint64_t usage_ns, std::int64_t at,
                                              std::int64_t since) {
  const std::lock_guard lock(mutex_);
  const auto [it, fresh] = readings_.try_emplace(key);
  Reading& reading = it->second;
  reading.last_asked = at;
  if (fresh || usage_ns < reading.usage_ns) {
    reading.usage_ns = usage_ns;
    reading.at = at;
    reading.rate = since > 0 ? Rate(usage_ns, at - since) : std::nullopt;
  } else if (at - reading.at >= kWindow) {
    reading.rate = Rate(usage_ns - reading.usage_ns, at - reading.at);
    reading.usage_ns = usage_ns;
    reading.at = at;
  }
  return reading.rate;
}

void CpuRates::Purge(std::int64_t at) {
  const std::lock_guard lock(mutex_);
  std::erase_if(readings_, [at](const auto& entry) { return entry.second.last_asked < at; });
}

}  // namespace burstlet::provider
