// Probes and life-cycle hooks.
#include "absl/strings/str_cat.h"
#include "provider/validation.h"
#include "provider/validation_names.h"

namespace burstlet::provider::validation {
namespace {

constexpr std::int64_t kMostPort = 65535;

/// What a probe and a hook have in common.
struct Handler {
  const std::optional<kube::ExecAction>& exec;
  const std::optional<kube::HTTPGetAction>& httpGet;
  const std::optional<kube::TCPSocketAction>& tcpSocket;
  const std::optional<kube::GRPCAction>& grpc;
  const std::optional<kube::SleepAction>& sleep;
};

void CheckPort(Complaints& complaints, const std::string& path, const kube::IntOrString& port) {
  if (port.text.empty()) {
    complaints.InRange(path, port.number, 1, kMostPort);
  } else {
    complaints.InvalidEach(path, port.text, PortName(port.text));
  }
}

void CheckHttpGet(Complaints& complaints, const std::string& path, const kube::HTTPGetAction& action) {
  if (action.path.empty()) complaints.Required(path + ".path");
  CheckPort(complaints, path + ".port", action.port);
  complaints.OneOf(path + ".scheme", action.scheme, {"HTTP", "HTTPS"});
  for (const kube::HTTPHeader& header : action.httpHeaders) {
    complaints.InvalidEach(path + ".httpHeaders", header.name, HttpHeaderName(header.name));
  }
}

void CheckSleep(Complaints& complaints, const std::string& path, const kube::SleepAction& action,
                const kube::PodSpec& spec) {
  const auto& grace = spec.terminationGracePeriodSeconds;
  if (grace && (action.seconds < 0 || action.seconds > *grace)) {
    complaints.Invalid(path, action.seconds,
                       absl::StrCat("must be non-negative and less than terminationGracePeriodSeconds (", *grace, ")"));
  }
}

void CheckHandler(Complaints& complaints, const std::string& path, const Handler& handler, const kube::PodSpec& spec) {
  bool seen = false;
  // The first handler is looked into, each further one is forbidden.
  const auto first = [&](const char* name, bool present) {
    if (!present) return false;
    if (seen) complaints.Forbidden(absl::StrCat(path, ".", name), "may not specify more than 1 handler type");
    const bool is_first = !seen;
    seen = true;
    return is_first;
  };
  if (first("exec", handler.exec.has_value()) && handler.exec->command.empty()) {
    complaints.Required(path + ".exec.command");
  }
  if (first("httpGet", handler.httpGet.has_value())) CheckHttpGet(complaints, path + ".httpGet", *handler.httpGet);
  if (first("tcpSocket", handler.tcpSocket.has_value())) {
    CheckPort(complaints, path + ".tcpSocket.port", handler.tcpSocket->port);
  }
  if (first("grpc", handler.grpc.has_value())) {
    complaints.InRange(path + ".grpc.port", handler.grpc->port, 1, kMostPort);
  }
  if (first("sleep", handler.sleep.has_value())) CheckSleep(complaints, path + ".sleep", *handler.sleep, spec);
  if (!seen) complaints.Required(path, "must specify a handler type");
}

/// Linux' signals by the names that the API takes: SIGHUP ... SIGSYS and the real-time ones.
bool IsSignalName(const std::string& name) {
  static const char* const kNames[] = {"SIGABRT", "SIGALRM", "SIGBUS",    "SIGCHLD",  "SIGCLD",  "SIGCONT",   "SIGFPE",
                                       "SIGHUP",  "SIGILL",  "SIGINT",    "SIGIO",    "SIGIOT",  "SIGKILL",   "SIGPIPE",
                                       "SIGPOLL", "SIGPROF", "SIGPWR",    "SIGQUIT",  "SIGSEGV", "SIGSTKFLT", "SIGSTOP",
                                       "SIGSYS",  "SIGTERM", "SIGTRAP",   "SIGTSTP",  "SIGTTIN", "SIGTTOU",   "SIGURG",
                                       "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ"};
  for (const char* known : kNames) {
    if (name == known) return true;
  }
  return name.starts_with("SIGRTMIN") || name.starts_with("SIGRTMAX");
}

void CheckStopSignal(Complaints& complaints, const std::string& path, const std::string& name,
                     const kube::PodSpec& spec) {
  if (!spec.os) {
    complaints.Forbidden(path, "may not be set for containers with empty `spec.os.name`");
  } else if (!IsSignalName(name)) {
    complaints.Invalid(path, name, "must be the name of a signal of Linux, as SIGTERM");
  }
}

}  // namespace

void CheckLifecycle(Complaints& complaints, const std::string& path, const kube::Lifecycle& lifecycle,
                    const kube::PodSpec& spec) {
  const std::optional<kube::GRPCAction> no_grpc;
  const auto hook = [&](const char* name, const std::optional<kube::LifecycleHandler>& handler) {
    if (!handler) return;
    CheckHandler(complaints, absl::StrCat(path, ".", name),
                 {handler->exec, handler->httpGet, handler->tcpSocket, no_grpc, handler->sleep}, spec);
  };
  hook("postStart", lifecycle.postStart);
  hook("preStop", lifecycle.preStop);
  if (lifecycle.stopSignal) CheckStopSignal(complaints, path + ".stopSignal", *lifecycle.stopSignal, spec);
}

void CheckProbe(Complaints& complaints, const std::string& path, const kube::Probe& probe, ProbeKind kind,
                const kube::PodSpec& spec) {
  const std::optional<kube::SleepAction> no_sleep;
  CheckHandler(complaints, path, {probe.exec, probe.httpGet, probe.tcpSocket, probe.grpc, no_sleep}, spec);
  complaints.NotNegative(path + ".initialDelaySeconds", probe.initialDelaySeconds);
  complaints.NotNegative(path + ".timeoutSeconds", probe.timeoutSeconds);
  complaints.NotNegative(path + ".periodSeconds", probe.periodSeconds);
  complaints.NotNegative(path + ".successThreshold", probe.successThreshold);
  complaints.NotNegative(path + ".failureThreshold", probe.failureThreshold);
  const auto& grace = probe.terminationGracePeriodSeconds;
  if (grace && *grace <= 0) {
    complaints.Invalid(path + ".terminationGracePeriodSeconds", *grace, "must be greater than 0");
  }
  if (kind == ProbeKind::kReadiness) {
    if (grace) {
      complaints.Invalid(path + ".terminationGracePeriodSeconds", *grace, "must not be set for readinessProbes");
    }
  } else if (probe.successThreshold != 1) {
    complaints.Invalid(path + ".successThreshold", probe.successThreshold, "must be 1");
  }
}

}  // namespace burstlet::provider::validation
