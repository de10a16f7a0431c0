// Strategic merge patches: the least that turns one status into another, in the API server's own dialect.
//
// Lists that the API merges (conditions by type, addresses of a pod by ip) are sent element by element, with order and
// deletions as directives; all other lists (containerStatuses) are replaced whole. Pure. Threads: any.
// Source: apimachinery pkg/util/strategicpatch (CreateTwoWayMergePatch), kubernetes pkg/util/pod/pod.go,
// component-helpers node/util/status.go.
#pragma once

#include <string>

#include "kube/api/node.h"
#include "kube/api/pod.h"

namespace burstlet::kube {

/// {"metadata":{"uid":...},"status":{...}}; the UID is a precondition: a new pod of the same name is never touched.
/// "" when nothing changed.
std::string PodStatusPatch(const std::string& uid, const PodStatus& old_status, const PodStatus& new_status);

/// {"status":{...}}, or "" when nothing changed. Changed addresses replace the list as a whole: their merge key in the
/// API (type) is not unique.
std::string NodeStatusPatch(const NodeStatus& old_status, const NodeStatus& new_status);

/// Labels and annotations only: {"metadata":{"labels":{...}}}, or "".
std::string MetadataPatch(const ObjectMeta& old_meta, const ObjectMeta& new_meta);

}  // namespace burstlet::kube
