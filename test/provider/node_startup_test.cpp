#include "provider/node_startup.h"

#include <catch2/catch.hpp>
#include <string>

namespace burstlet::provider {

TEST_CASE("the steps from the host's boot to a ready node are told once, of a node that this agent made") {
  Metrics metrics;
  NodeStartup startup(metrics, 100, 160);
  startup.Attempted(160.5);
  startup.Attempted(161);  // a retry
  startup.Ready(162);      // somebody else's Node
  CHECK(metrics.Text().find("kubelet_node_startup_duration_seconds ") == std::string::npos);
  startup.Registered(163);
  startup.Ready(165);
  startup.Ready(500);
  const std::string text = metrics.Text();
  for (const char* line :
       {"kubelet_node_startup_pre_kubelet_duration_seconds 60\n",
        "kubelet_node_startup_pre_registration_duration_seconds 0.5\n",
        "kubelet_node_startup_registration_duration_seconds 2.5\n",
        "kubelet_node_startup_post_registration_duration_seconds 2\n", "kubelet_node_startup_duration_seconds 65\n"}) {
    INFO(line);
    CHECK(text.find(line) != std::string::npos);
  }
}

}  // namespace burstlet::provider
