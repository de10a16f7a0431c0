// Environment files that init containers wrote into a pod's volumes, read for the start of a container.
//
// A file is opened below its volume's root whatever the container did there (links lead where they would lead with the
// volume as root), must be an ordinary file, and is read with a bound. Blocking; threads: any.
// Source: kubelet_pods.go makeEnvironmentVariables, FileKeyRef (KEP-3721).
#pragma once

#include "kube/api/pod.h"
#include "provider/translate/environment.h"
#include "sandbox/sandbox.h"

namespace burstlet::provider {

/// All that the container's env refers to. A file that can't be read is an error in the result.
EnvFileTexts ReadEnvFiles(sandbox::Sandbox& sandbox, const kube::Container& container);

}  // namespace burstlet::provider
