#include <array>
#include <cctype>
#include <charconv>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"
#include "provider/translate/environment.h"
#include "provider/translate/expansion.h"
#include "provider/translate/mounts.h"
#include "provider/translate/names.h"
#include "provider/translate/resources.h"
#include "provider/translate/security_context.h"
#include "provider/translate/translate.h"

namespace burstlet::provider {
namespace {

// What a runtime gives a container whose image names no PATH (containerd pkg/oci, defaultUnixEnv).
const char kDefaultPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The container's command over the image's entrypoint; args over the image's command. A command without args does
/// not get the image's: they belong to its entrypoint.
absl::StatusOr<std::vector<std::string>> Arguments(const kube::Container& container, const cache::ImageConfig& image,
                                                   const std::map<std::string, std::string>& env) {
  std::vector<std::string> result;
  for (const auto& word : container.command) result.push_back(ExpandVariables(word, env));
  if (result.empty() && !(image.entrypoint.size() == 1 && image.entrypoint[0].empty())) result = image.entrypoint;
  if (container.args.empty() && container.command.empty()) {
    result.insert(result.end(), image.cmd.begin(), image.cmd.end());
  }
  for (const auto& word : container.args) result.push_back(ExpandVariables(word, env));
  if (result.empty()) {
    return ReasonError(absl::StatusCode::kInvalidArgument, "CreateContainerError", "no command specified");
  }
  for (const auto& word : result) {
    if (word.find('\0') != std::string::npos) {
      return ReasonError(absl::StatusCode::kInvalidArgument, "CreateContainerConfigError",
                         "command and args must not contain NUL bytes");
    }
  }
  return result;
}

/// Later values replace earlier ones where those stand, as runtimes do it.
void SetVariable(std::vector<std::string>& env, const std::string& line) {
  const std::size_t name_length = line.find('=');
  if (name_length == std::string::npos || name_length == 0) return;  // an image may hold nonsense
  for (auto& one : env) {
    if (one.compare(0, name_length + 1, line, 0, name_length + 1) == 0) {
      one = line;
      return;
    }
  }
  env.push_back(line);
}

std::vector<std::string> Environment(const kube::Container& container, const ContainerInput& input,
                                     const std::string& hostname) {
  std::vector<std::string> env = {kDefaultPath};
  if (container.tty) SetVariable(env, "TERM=xterm");
  SetVariable(env, absl::StrCat("HOSTNAME=", hostname));
  for (const auto& line : input.image.config.env) {
    if (line.find('\0') == std::string::npos) SetVariable(env, line);
  }
  for (const auto& line : input.env) SetVariable(env, line);
  return env;
}

/// "SIGUSR1", "usr1", "10", "RTMIN+3"; 0 when it is none of these.
int SignalNumber(const std::string& text) {
  static const std::map<std::string, int> kNames = {
      {"ABRT", SIGABRT},     {"ALRM", SIGALRM},   {"BUS", SIGBUS},   {"CHLD", SIGCHLD}, {"CLD", SIGCHLD},
      {"CONT", SIGCONT},     {"FPE", SIGFPE},     {"HUP", SIGHUP},   {"ILL", SIGILL},   {"INT", SIGINT},
      {"IO", SIGIO},         {"IOT", SIGIOT},     {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"POLL", SIGPOLL},
      {"PROF", SIGPROF},     {"PWR", SIGPWR},     {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV}, {"STKFLT", SIGSTKFLT},
      {"STOP", SIGSTOP},     {"SYS", SIGSYS},     {"TERM", SIGTERM}, {"TRAP", SIGTRAP}, {"TSTP", SIGTSTP},
      {"TTIN", SIGTTIN},     {"TTOU", SIGTTOU},   {"URG", SIGURG},   {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
      {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH}, {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ}};
  // The kernel's numbers: a libc keeps the first real-time signals for itself.
  constexpr int kRtMin = 34;
  constexpr int kRtMax = 64;
  auto number = [](const std::string& digits) {
    int value = -1;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size() ? value : -1;
  };
  if (text.empty() || text.size() > 16) return 0;
  if (int value = number(text); value >= 1 && value <= kRtMax) return value;
  std::string name;
  for (unsigned char c : text) name.push_back(static_cast<char>(std::toupper(c)));
  if (name.rfind("SIG", 0) == 0) name.erase(0, 3);
  if (auto found = kNames.find(name); found != kNames.end()) return found->second;
  if (name.rfind("RTMIN", 0) != 0 && name.rfind("RTMAX", 0) != 0) return 0;
  const bool from_min = name[4] == 'N';
  const std::string rest = name.substr(5);
  int offset = 0;
  if (!rest.empty()) {
    if (rest[0] != (from_min ? '+' : '-')) return 0;
    offset = number(rest.substr(1));
    if (offset < 0 || offset > kRtMax - kRtMin) return 0;
  }
  return from_min ? kRtMin + offset : kRtMax - offset;
}

int StopSignal(const kube::Container& container, const cache::ImageConfig& image) {
  int number = 0;
  if (container.lifecycle && container.lifecycle->stopSignal) number = SignalNumber(*container.lifecycle->stopSignal);
  if (number == 0) number = SignalNumber(image.stop_signal);
  return number == 0 ? SIGTERM : number;
}

}  // namespace

absl::StatusOr<sandbox::ContainerSpec> TranslateContainer(const kube::Pod& pod, const ContainerInput& input,
                                                          const NodeInfo& node, const TranslateOptions& options) {
  const kube::Container& container = input.container;
  const std::map<std::string, std::string> env = EnvironmentMap(input.env);
  sandbox::ContainerSpec spec;
  spec.name = container.name;
  spec.id = input.id;
  spec.attempt = input.attempt;
  spec.rootfs.lower_dirs = input.image.layer_dirs;
  ASSIGN_OR_RETURN(spec.user, TranslateUser(pod, container, input.image.config.user));
  ASSIGN_OR_RETURN(spec.args, Arguments(container, input.image.config, env));
  ASSIGN_OR_RETURN(const std::string hostname, KernelHostname(pod, node));
  spec.env = Environment(container, input, hostname);
  if (!container.workingDir.empty()) {
    spec.working_dir = container.workingDir;
  } else if (!input.image.config.working_dir.empty()) {
    spec.working_dir = input.image.config.working_dir;
  }
  if (spec.working_dir.front() != '/') spec.working_dir.insert(0, "/");
  RETURN_IF_ERROR(TranslateSecurity(pod, container, node, options, spec));
  ASSIGN_OR_RETURN(spec.mounts,
                   TranslateMounts(pod, container, env, input.files, input.image_volumes, spec.rootfs.read_only));
  spec.resources = ContainerResources(pod, container, node);
  spec.oom_score_adj = OomScoreAdjust(pod, container, ValueOf(node.capacity, "memory"));
  spec.tty = container.tty;
  spec.stdin_open = container.stdin;
  spec.stdin_once = container.stdinOnce;
  spec.log_path = input.log_path;
  spec.stop_signal = StopSignal(container, input.image.config);
  return spec;
}

}  // namespace burstlet::provider
