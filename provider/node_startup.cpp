#include "provider/node_startup.h"

#include <chrono>
#include <ctime>

namespace burstlet::provider {

void NodeStartup::Attempted(double now) {
  if (!attempted_) attempted_ = now;
}

void NodeStartup::Registered(double now) {
  if (!registered_) registered_ = now;
}

void NodeStartup::Ready(double now) {
  if (told_ || !attempted_ || !registered_) return;
  told_ = true;
  metrics_.Set(Series::kNodeStartupPreKubelet, started_ - booted_);
  metrics_.Set(Series::kNodeStartupPreRegistration, *attempted_ - started_);
  metrics_.Set(Series::kNodeStartupRegistration, *registered_ - *attempted_);
  metrics_.Set(Series::kNodeStartupPostRegistration, now - *registered_);
  metrics_.Set(Series::kNodeStartup, now - booted_);
}

double BootTime() {
  timespec since{};
  clock_gettime(CLOCK_BOOTTIME, &since);
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return now - static_cast<double>(since.tv_sec) - static_cast<double>(since.tv_nsec) / 1e9;
}

}  // namespace burstlet::provider
