// `/logs/`: the node's log folder, listed and read, and node log queries.
//
// Listings are the page a kubelet makes (Go's file server), files and queries are sent as they come. Threads: the
// connection's strand. Failure: 400, 403, 404, 405, 406 with a text; after the first byte the connection closes.
#pragma once

#include "kube/server/node_log_query.h"
#include "kube/server/router.h"
#include "kube/server/wire.h"

namespace burstlet::kube {

/// Answers the exchange in any case. `queries`: enableSystemLogQuery; else the options of a query count for nothing.
void ServeNodeLogs(Exchange& exchange, const Route& route, const NodeLogs& logs, bool queries);

/// The page that lists a directory.
std::string ListingPage(const std::vector<std::string>& names);

}  // namespace burstlet::kube
