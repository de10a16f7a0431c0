// What this kernel can do, each tried and not guessed from a version; for `burstlet check`.
//
// Threads: any. Needs root for true answers. Leaves nothing behind.
#pragma once

#include <string>
#include <vector>

namespace burstlet::sandbox {

struct KernelFeature {
  std::string name;
  bool required = false;
  bool present = false;
  std::string remedy;  // what to do where it is missing
};

std::vector<KernelFeature> ProbeKernel();

}  // namespace burstlet::sandbox
