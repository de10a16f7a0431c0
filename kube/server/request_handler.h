// One request from its arrival to its answer: who, may they, what.
//
// Owner: the server. Threads: Handle on the connection's strand; handlers of the agent complete anywhere and come back
// to the strand by Exchange::Resumer. Failure: always an answer (401, 403, 404, 405, 500 ...), texts as the kubelet's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kube/server/authn.h"
#include "kube/server/authz.h"
#include "kube/server/health_results.h"
#include "kube/server/kubelet_server.h"
#include "kube/server/log_watch.h"
#include "kube/server/router.h"
#include "kube/server/wire.h"

namespace burstlet::kube {

class RequestHandler {
 public:
  RequestHandler(const KubeletServerConfig& config, KubeletHandlers handlers, std::shared_ptr<LogWatcher> watcher);

  void Handle(Exchange& exchange, const PeerCertificate& peer);

 private:
  void Serve(Exchange& exchange, const Route& route);
  void ServeHealth(Exchange& exchange, const Route& route);
  void ServeText(Exchange& exchange, const std::function<void(Reply<std::string>)>& handler);
  void ServeStats(Exchange& exchange);
  void ServeStatusz(Exchange& exchange);
  void ServeRun(Exchange& exchange, const Route& route);
  void ServeCommand(Exchange& exchange, const Route& route, bool attach);
  void ServeForward(Exchange& exchange, const Route& route);
  void ServeLogs(Exchange& exchange, const Route& route);

  const KubeletServerConfig config_;
  const KubeletHandlers handlers_;
  const std::shared_ptr<LogWatcher> watcher_;
  HealthResults health_results_;
  const std::int64_t started_at_;
  Authenticator authenticator_;
  const std::shared_ptr<Authorizer> authorizer_;
};

}  // namespace burstlet::kube
