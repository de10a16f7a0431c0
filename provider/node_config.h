// From the configuration to what the node measures and reports: the two ways to run pods share it.
#pragma once

#include "provider/config.h"
#include "provider/node_controller.h"
#include "provider/node_status.h"

namespace burstlet::provider {

/// Addresses that the configuration leaves out are those from which this host would reach others.
NodeStatusConfig MakeNodeStatusConfig(const Config& config);
NodeControllerConfig MakeNodeControllerConfig(const Config& config);

}  // namespace burstlet::provider
