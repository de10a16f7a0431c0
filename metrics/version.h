// The program's version, and the Kubernetes version whose kubelet it stands for.
#pragma once

namespace burstlet {

inline constexpr char kVersion[] = "0.1.0";
inline constexpr char kKubernetesVersion[] = "v1.37.2";

}  // namespace burstlet
