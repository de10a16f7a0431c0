// What AppArmor the kernel has, by its own files. Threads: any. No error: what can't be read is not there.
#pragma once

#include <string>

namespace burstlet::sandbox {

/// /sys/module/apparmor/parameters/enabled says Y.
bool AppArmorEnabled();
/// A profile of this name is in /sys/kernel/security/apparmor/profiles ("unconfined" always is, with AppArmor on).
bool AppArmorProfileLoaded(const std::string& name);
/// The pure part of it: lines "name (mode)".
bool ListsProfile(const std::string& profiles, const std::string& name);

}  // namespace burstlet::sandbox
