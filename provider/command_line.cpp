#include "provider/command_line.h"

#include <unistd.h>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "metrics/version.h"
#include "provider/check.h"
#include "provider/cli/commands.h"
#include "provider/config.h"
#include "provider/node_agent.h"
#include "provider/standalone.h"

namespace burstlet::provider {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

/// What the flags said; empty = not given.
struct Flags {
  std::string config_file;
  std::string kubeconfig;
  std::string bootstrap_kubeconfig;
  std::string cert_dir;
  std::string node_name;
  std::string node_ip;
  std::string root_dir;
  std::string pod_cidr;
  std::string cgroup_root;
  std::string pod_logs_dir;
  std::string warden_path;
  int verbosity = -1;
  int port = -1;
  std::vector<std::string> files;

  // --- commands to an agent that runs
  PodTarget target;
  LogsOptions logs;
  std::vector<std::string> command;
  bool with_stdin = false;
  bool tty = false;
  bool as_json = false;
  bool once = false;
};

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "burstlet: %s\n", std::string(status.message()).c_str());
  return code;
}

void AddCommonFlags(CLI::App& command, Flags& flags) {
  command.add_option("--config", flags.config_file, "BurstletConfiguration file (YAML)");
  command.add_option("--root-dir", flags.root_dir, "where everything of this agent lives (default /var/lib/burstlet)");
  command.add_option("--node-name", flags.node_name, "name of the node (default: the host's name)");
  command.add_option("--node-ip", flags.node_ip, "address of the node, or IPv4,IPv6");
  command.add_option("--pod-cidr", flags.pod_cidr, "addresses of pods");
  command.add_option("--cgroup-root", flags.cgroup_root, "cgroup below which pods live (default /burstlet)");
  command.add_option("--warden-path", flags.warden_path, "the program burstlet-warden (default: beside this one)");
  command.add_option("--pod-logs-dir", flags.pod_logs_dir, "container logs (default ROOT-DIR/logs/pods)");
  command.add_option("-v,--v", flags.verbosity, "log verbosity");
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return "";
  std::string lower;
  for (const char* c = name; *c != '\0'; ++c) lower += static_cast<char>(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
  return lower;
}

/// Each flag with the value that holds, whether it came from the command line, the file or is the default.
std::map<std::string, std::string> EffectiveFlags(const Flags& flags, const Config& config) {
  return {{"bootstrap-kubeconfig", config.bootstrap_kubeconfig},
          {"cert-dir", config.cert_dir},
          {"cgroup-root", config.cgroup_root},
          {"config", flags.config_file},
          {"kubeconfig", config.kubeconfig},
          {"node-ip", absl::StrJoin(config.node_ips, ",")},
          {"node-name", config.node_name},
          {"pod-cidr", absl::StrJoin(config.pod_cidrs, ",")},
          {"pod-logs-dir", config.pod_logs_dir},
          {"port", std::to_string(config.port)},
          {"root-dir", config.root_dir},
          {"v", std::to_string(config.verbosity)}};
}

absl::StatusOr<Config> MakeConfig(const Flags& flags) {
  Config config;
  if (!flags.config_file.empty()) {
    if (const absl::Status loaded = LoadConfigFile(flags.config_file, config); !loaded.ok()) return loaded;
  }
  const auto take = [](std::string& to, const std::string& from) {
    if (!from.empty()) to = from;
  };
  take(config.kubeconfig, flags.kubeconfig);
  take(config.bootstrap_kubeconfig, flags.bootstrap_kubeconfig);
  take(config.cert_dir, flags.cert_dir);
  take(config.node_name, flags.node_name);
  take(config.root_dir, flags.root_dir);
  take(config.cgroup_root, flags.cgroup_root);
  take(config.pod_logs_dir, flags.pod_logs_dir);
  take(config.warden_path, flags.warden_path);
  if (!flags.pod_cidr.empty()) config.pod_cidrs = absl::StrSplit(flags.pod_cidr, ',', absl::SkipWhitespace());
  if (!flags.node_ip.empty()) config.node_ips = absl::StrSplit(flags.node_ip, ',', absl::SkipWhitespace());
  if (flags.verbosity >= 0) config.verbosity = flags.verbosity;
  if (flags.port >= 0) config.port = static_cast<std::uint16_t>(flags.port);
  if (config.node_name.empty()) config.node_name = HostName();
  if (const absl::Status finished = FinishConfig(config); !finished.ok()) {
    return flags.config_file.empty() ? finished : Annotate(finished, flags.config_file);
  }
  config.flags = EffectiveFlags(flags, config);
  return config;
}

int RunNode(const Flags& flags) {
  auto config = MakeConfig(flags);
  if (!config.ok()) return Fail(config.status(), kUsage);
  StartLog(config->log_format == "json" ? LogFormat::kJson : LogFormat::kText, config->verbosity);
  const absl::Status status = RunNodeAgent(*std::move(config));
  StopLog();
  return status.ok() ? 0 : Fail(status, absl::IsInvalidArgument(status) ? kUsage : kFailed);
}

int RunPods(const Flags& flags) {
  auto config = MakeConfig(flags);
  if (!config.ok()) return Fail(config.status(), kUsage);
  SetLogVerbosity(config->verbosity - 1);  // the terminal belongs to the pods
  const auto outcome = RunStandalone(*std::move(config), flags.files);
  StopLog();
  if (!outcome.ok()) return Fail(outcome.status(), absl::IsInvalidArgument(outcome.status()) ? kUsage : kFailed);
  return *outcome;
}

int RunCheck(const Flags& flags) {
  auto config = MakeConfig(flags);
  if (!config.ok()) return Fail(config.status(), kUsage);
  return CheckHost(*config) ? 0 : kFailed;
}

int Finish(const absl::Status& status) {
  return status.ok() ? 0 : Fail(status, absl::IsInvalidArgument(status) ? kUsage : kFailed);
}

int RunExec(const Flags& flags) {
  const auto code = ExecInTarget(flags.target, flags.command, flags.with_stdin, flags.tty);
  return code.ok() ? *code : Finish(code.status());
}

/// The commands that ask an agent of this machine.
struct AgentCommands {
  AgentCommands(CLI::App& app, Flags& flags)
      : ps(*app.add_subcommand("ps", "list the pods of an agent on this machine")),
        top(*app.add_subcommand("top", "show what they use, and how their start went")),
        logs(*app.add_subcommand("logs", "print a container's log")),
        exec(*app.add_subcommand("exec", "run a command in a container")) {
    for (CLI::App* command : {&ps, &top, &logs, &exec}) {
      command->add_option("--root-dir", flags.target.root_dir, "the agent's (default /var/lib/burstlet)");
      command->add_option("-n,--namespace", flags.target.name_space, "of the pods (default: any)");
    }
    for (CLI::App* command : {&logs, &exec}) {
      command->add_option("POD", flags.target.pod, "NAME or NAMESPACE/NAME")->required();
      command->add_option("-c,--container", flags.target.container, "of the pod (default: its first)");
    }
    ps.add_flag("--json", flags.as_json, "the whole objects, as a v1.PodList");
    top.add_flag("--once", flags.once, "one table, and not anew every two seconds");
    logs.add_flag("-f,--follow", flags.logs.follow, "go on with what comes");
    logs.add_flag("-p,--previous", flags.logs.previous, "of the run before");
    logs.add_flag("--timestamps", flags.logs.timestamps, "each line with its time");
    logs.add_option("--tail", flags.logs.tail, "so many of the last lines")->check(CLI::Range(0, INT32_MAX));
    exec.add_flag("-i,--stdin", flags.with_stdin, "the command reads this input");
    exec.add_flag("-t,--tty", flags.tty, "in a terminal");
    exec.add_option("COMMAND", flags.command, "after --")->required();
  }
  CLI::App& ps;
  CLI::App& top;
  CLI::App& logs;
  CLI::App& exec;
};

/// One line: a word that is no command is named, which CLI11 does not.
std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const bool no_command = app.get_subcommands().empty() && argc > 1 && argv[1][0] != '-';
  return absl::StrCat(no_command ? absl::StrCat("unknown command \"", argv[1], "\"") : std::string(error.what()),
                      " (--help tells more)");
}

}  // namespace

int RunCommandLine(int argc, char** argv) {
  CLI::App app{"burstlet: a serverless-container node for Kubernetes", "burstlet"};
  app.set_version_flag("--version", std::string("burstlet ") + kVersion);
  app.require_subcommand(1);
  Flags flags;

  CLI::App& node = *app.add_subcommand("node", "run the agent of a node in a cluster");
  AddCommonFlags(node, flags);
  node.add_option("--kubeconfig", flags.kubeconfig, "the node's identity (default: in-cluster)");
  node.add_option("--bootstrap-kubeconfig", flags.bootstrap_kubeconfig,
                  "asks for the node's identity when --kubeconfig has none that counts");
  node.add_option("--cert-dir", flags.cert_dir, "certificates asked for (default ROOT-DIR/pki)");
  node.add_option("--port", flags.port, "the kubelet port (default 10250)")->check(CLI::Range(0, 65535));

  CLI::App& run = *app.add_subcommand("run", "run pod files here, without a cluster");
  AddCommonFlags(run, flags);
  run.add_option("FILE", flags.files, "pod files (YAML), - for standard input")->required();

  CLI::App& check = *app.add_subcommand("check", "tell whether this host can run pods");
  AddCommonFlags(check, flags);

  const AgentCommands agent(app, flags);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return Fail(absl::InvalidArgumentError(WhatIsWrong(app, error, argc, argv)), kUsage);
  }
  if (node) return RunNode(flags);
  if (run) return RunPods(flags);
  if (agent.ps) return Finish(ListPods(flags.target, flags.as_json));
  if (agent.top) return Finish(ShowUsage(flags.target, flags.once));
  if (agent.logs) return Finish(ShowLogs(flags.target, flags.logs));
  if (agent.exec) return RunExec(flags);
  return RunCheck(flags);
}

}  // namespace burstlet::provider
