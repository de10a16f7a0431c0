#include "kube/server/request_handler.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "kube/server/debug_flags.h"
#include "kube/server/exec_session.h"
#include "kube/server/log_options.h"
#include "kube/server/log_stream.h"
#include "kube/server/node_logs.h"
#include "kube/server/port_forward.h"
#include "kube/server/zpages.h"
#include "metrics/log.h"
#include "metrics/version.h"

namespace burstlet::kube {
namespace {

constexpr char kJson[] = "application/json";
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr char kExposition[] = "text/plain; version=0.0.4; charset=utf-8";

HttpResponse JsonResponse(std::string body) {
  HttpResponse response = TextResponse(200, std::move(body));
  response.content_type = kJson;
  return response;
}

HttpResponse NotFound() { return TextResponse(404, "404 page not found\n"); }

void RespondJson(Exchange& exchange, const std::function<std::string()>& handler) {
  exchange.Respond(handler ? JsonResponse(handler()) : NotFound());
}

// Answers with a handler's text once it is there.
Reply<std::string> TextReply(Exchange& exchange, std::string content_type) {
  return [resume = exchange.Resumer(), content_type](absl::StatusOr<std::string> text) {
    resume([text = std::move(text), content_type](Exchange& target) mutable {
      if (!text.ok()) {
        target.Respond(ErrorResponse(text.status()));
        return;
      }
      HttpResponse response = TextResponse(200, std::move(text).value());
      response.content_type = content_type;
      target.Respond(std::move(response));
    });
  };
}

std::int64_t UnixNanos() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace

RequestHandler::RequestHandler(const KubeletServerConfig& config, KubeletHandlers handlers,
                               std::shared_ptr<LogWatcher> watcher)
    : config_(config),
      handlers_(std::move(handlers)),
      watcher_(std::move(watcher)),
      started_at_(UnixNanos() / kSecond),
      authenticator_(config.token_authentication, config.anonymous, handlers_.review_token, config.token_cache_ttl),
      authorizer_(std::make_shared<Authorizer>(
          config.node_name, handlers_.review_access,
          Authorizer::Options{config.always_allow, config.authorized_cache_ttl, config.unauthorized_cache_ttl})) {}

void RequestHandler::Handle(Exchange& exchange, const PeerCertificate& peer) {
  const auto route = std::make_shared<const Route>(Classify(exchange.request().method, exchange.request().path));
  if (handlers_.begun) {
    static constexpr std::string_view kMethods[] = {"GET",    "POST",    "HEAD",  "PUT",
                                                    "DELETE", "OPTIONS", "TRACE", "CONNECT"};
    const std::string& method = exchange.request().method;
    const bool known = std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
    exchange.Hold(handlers_.begun(known ? method : "other", route->bucket, route->long_running));
  }
  if (peer.local_root) {
    exchange.Trust();
    return Serve(exchange, *route);
  }
  authenticator_.Authenticate(
      peer, exchange.request(),
      // Runs on any thread, maybe after the server has gone: `this` is touched on the strand only.
      [this, route, authorizer = authorizer_, resume = exchange.Resumer()](std::optional<UserInfo> user) {
        if (!user.has_value()) {
          resume([](Exchange& target) { target.Respond(TextResponse(401, "Unauthorized")); });
          return;
        }
        resume([](Exchange& target) { target.Trust(); });
        authorizer->Authorize(*user, *route, [this, route, resume](std::unique_ptr<HttpResponse> refusal) {
          const std::shared_ptr<HttpResponse> answer = std::move(refusal);
          resume([this, route, answer](Exchange& target) {
            if (answer != nullptr) {
              target.Respond(std::move(*answer));
            } else {
              Serve(target, *route);
            }
          });
        });
      });
}

void RequestHandler::Serve(Exchange& exchange, const Route& route) {
  if (LogEnabled(4)) V(4, "Serves", {{"method", exchange.request().method}, {"path", exchange.request().path}});
  if (!route.method_allowed) {
    HttpResponse response = TextResponse(405, "Method Not Allowed");
    response.headers.emplace_back("Allow", route.allow);
    exchange.Respond(std::move(response));
    return;
  }
  switch (route.endpoint) {
    case Endpoint::kHealthz:
      return ServeHealth(exchange, route);
    case Endpoint::kPods:
      return RespondJson(exchange, handlers_.pods_json);
    case Endpoint::kRunningPods:
      return RespondJson(exchange, handlers_.running_pods_json);
    case Endpoint::kConfigz:
      return RespondJson(exchange, handlers_.configz_json);
    case Endpoint::kStarts:
      return RespondJson(exchange, handlers_.starts_json);
    case Endpoint::kStatsSummary:
      return ServeStats(exchange);
    case Endpoint::kMetrics:
      return ServeText(exchange, handlers_.metrics);
    case Endpoint::kMetricsResource:
      return ServeText(exchange, handlers_.metrics_resource);
    case Endpoint::kMetricsCadvisor:
      return ServeText(exchange, handlers_.metrics_cadvisor);
    case Endpoint::kMetricsProbes:
      return ServeText(exchange, handlers_.metrics_probes);
    case Endpoint::kMetricsSlis:
      return ServeText(exchange, [this](const Reply<std::string>& reply) { reply(health_results_.Text(started_at_)); });
    case Endpoint::kStatusz:
      return ServeStatusz(exchange);
    case Endpoint::kFlagz:
      return exchange.Respond(Flagz(exchange.request(), handlers_.flags));
    case Endpoint::kContainerLogs:
      return ServeLogs(exchange, route);
    case Endpoint::kExec:
      return ServeCommand(exchange, route, false);
    case Endpoint::kAttach:
      return ServeCommand(exchange, route, true);
    case Endpoint::kPortForward:
      return ServeForward(exchange, route);
    case Endpoint::kRun:
      return ServeRun(exchange, route);
    case Endpoint::kCheckpoint:
      return exchange.Respond(
          TextResponse(501, "checkpointing containers is not supported by this node: it has no CRIU\n"));
    case Endpoint::kNodeLogs:
      return ServeNodeLogs(exchange, route, handlers_.node_logs, config_.node_log_queries);
    case Endpoint::kPprof:
      return exchange.Respond(TextResponse(405, "profiling endpoint is disabled.\n"));
    case Endpoint::kDebugFlags:
      return exchange.Respond(config_.debug_flags ? ChangeVerbosity(exchange.request())
                                                  : TextResponse(405, "flags endpoint is disabled.\n"));
    case Endpoint::kNotFound:
      return exchange.Respond(NotFound());
  }
}

void RequestHandler::ServeHealth(Exchange& exchange, const Route& route) {
  absl::Status loop = absl::OkStatus();
  const bool asks_loop = route.rest.empty() || route.rest == "syncloop";
  if (asks_loop && handlers_.healthz) loop = handlers_.healthz();
  for (const char* check : {"ping", "log", "syncloop"}) {
    const bool made = route.rest.empty() || route.rest == check;
    if (made) health_results_.Observe(check, std::string_view(check) != "syncloop" || loop.ok());
  }
  if (!loop.ok()) {
    Warn("The health check failed", {{"check", "syncloop"}, {"err", std::string(loop.message())}});
    // Reasons are in the log only, as apiserver's healthz withholds them.
    exchange.Respond(TextResponse(500, route.rest.empty()
                                           ? "[+]ping ok\n[+]log ok\n[-]syncloop failed: reason withheld\n"
                                             "healthz check failed\n"
                                           : "internal server error: " + std::string(loop.message()) + "\n"));
    return;
  }
  const bool verbose = route.rest.empty() && exchange.request().HasQuery("verbose");
  exchange.Respond(TextResponse(200, verbose ? "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n" : "ok"));
}

void RequestHandler::ServeText(Exchange& exchange, const std::function<void(Reply<std::string>)>& handler) {
  if (!handler) {
    exchange.Respond(NotFound());
    return;
  }
  handler(TextReply(exchange, kExposition));
}

void RequestHandler::ServeStats(Exchange& exchange) {
  if (!handlers_.stats_summary) {
    exchange.Respond(NotFound());
    return;
  }
  const std::string only = ToLower(exchange.request().Query("only_cpu_and_memory"));
  handlers_.stats_summary(only == "true" || only == "1" || only == "t", TextReply(exchange, kJson));
}

void RequestHandler::ServeStatusz(Exchange& exchange) {
  StatuszFacts facts;
  facts.started_at = started_at_;
  facts.now = UnixNanos() / kSecond;
  facts.binary_version = std::string(kKubernetesVersion + 1) + "+burstlet-" + kVersion;
  facts.emulation_version =
      facts.binary_version.substr(0, facts.binary_version.rfind('.', facts.binary_version.find('+')));
  facts.paths = StatuszPaths();
  exchange.Respond(Statusz(exchange.request(), facts));
}

void RequestHandler::ServeRun(Exchange& exchange, const Route& route) {
  if (!handlers_.run) {
    exchange.Respond(TextResponse(501, "run is not served by this node\n"));
    return;
  }
  // Split at single spaces, as the kubelet splits: no quotes.
  std::vector<std::string> command;
  const std::string text = exchange.request().Query("cmd");
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t space = std::min(text.find(' ', at), text.size());
    command.push_back(text.substr(at, space - at));
    at = space + 1;
  }
  handlers_.run(route.container, std::move(command), TextReply(exchange, kJson));
}

void RequestHandler::ServeCommand(Exchange& exchange, const Route& route, bool attach) {
  const StartCommand& start = attach ? handlers_.attach : handlers_.exec;
  if (!start) {
    exchange.Respond(TextResponse(501, std::string(attach ? "attach" : "exec") + " is not served by this node\n"));
    return;
  }
  ServeRemoteCommand(exchange, route.container, attach, start, config_.streaming_idle_timeout);
}

void RequestHandler::ServeForward(Exchange& exchange, const Route& route) {
  if (!handlers_.port_forward) {
    exchange.Respond(TextResponse(501, "port-forward is not served by this node\n"));
    return;
  }
  ServePortForward(exchange, route.container, handlers_.port_forward, config_.streaming_idle_timeout);
}

void RequestHandler::ServeLogs(Exchange& exchange, const Route& route) {
  LogOptions options;
  if (std::optional<HttpResponse> refusal = ParseLogOptions(exchange.request(), UnixNanos(), &options)) {
    exchange.Respond(std::move(*refusal));
    return;
  }
  if (!handlers_.container_logs) {
    exchange.Respond(NotFound());
    return;
  }
  handlers_.container_logs(
      route.container, options,
      [resume = exchange.Resumer(), options, watcher = watcher_](absl::StatusOr<LogSource> source) {
        resume([source = std::move(source), options, watcher](Exchange& target) {
          if (!source.ok()) {
            target.Respond(ErrorResponse(source.status()));
            return;
          }
          StreamLog(target, *source, options, watcher);
        });
      });
}

}  // namespace burstlet::kube
