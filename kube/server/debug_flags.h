// `/debug/flags/v`: the log's verbosity, changed while the program runs.
//
// PUT with the number as the body, as a kubelet takes it; any thread. Failure: 400 for what is no number, 406 for
// another method. Source: apiserver/pkg/server/routes/flags.go, component-base/logs.
#pragma once

#include "kube/server/http_message.h"

namespace burstlet::kube {

HttpResponse ChangeVerbosity(const HttpRequest& request);

}  // namespace burstlet::kube
