// LIST then WATCH of one resource, kept going for ever: the node's eyes.
//
// Bookmarks, 410 Gone (relist), dead peers (idle limit above the bookmark interval), reconnects with jittered back-off.
// Objects arrive on the loop as JSON text; the typed wrappers decode. Owner: node_agent. Loop thread only.
// Source: client-go tools/cache/reflector.go.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kube/client.h"

namespace burstlet::kube {

/// What a reflector tells. `Replace` is the whole truth of a LIST; objects not in it are gone.
struct ReflectorHandlers {
  std::function<void(std::vector<std::string> objects)> replace;
  std::function<void(std::string object)> changed;  // ADDED and MODIFIED
  std::function<void(std::string object)> deleted;
  std::function<void(absl::Status why)> list_failed;  // each failed try; may be empty
};

/// Runs until cancelled. `path` = "/api/v1/pods", `selector` = "fieldSelector=..." (already encoded). `name` for logs.
Task<void> RunReflector(Client& client, Loop& loop, std::string name, std::string path, std::string selector,
                        ReflectorHandlers handlers, CancelToken cancel);

}  // namespace burstlet::kube
