#include "test/cache/docker_registry.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

#include "test/cache/plain_http.h"

extern char** environ;

namespace burstlet::cache::test {
namespace {

constexpr char kProgram[] = "/usr/bin/docker-registry";
/// bcrypt of kPassword: the only kind that docker-registry takes.
constexpr char kPasswordHash[] = "$2b$05$abcdefghijklmnopqrstuu4Q8xTrgjpfgc6JAW05bPlTJQ8JfbGq6";

pid_t Spawn(const std::vector<std::string>& arguments, int output) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_adddup2(&actions, output, 2);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("spawn " + arguments[0]);
  return pid;
}

/// Runs to the end; returns what it wrote.
std::string Run(const std::vector<std::string>& arguments) {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  const pid_t pid = Spawn(arguments, pipe_fds[1]);
  close(pipe_fds[1]);
  std::string out;
  char buffer[4096];
  for (ssize_t got; (got = read(pipe_fds[0], buffer, sizeof(buffer))) > 0;)
    out.append(buffer, static_cast<std::size_t>(got));
  close(pipe_fds[0]);
  waitpid(pid, nullptr, 0);
  return out;
}

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream out(path, std::ios::binary);
  out << content;
}

}  // namespace

bool HaveDockerRegistry() { return access(kProgram, X_OK) == 0; }

DockerRegistry::DockerRegistry(const Options& options) : port_(FreePort()) {
  const std::string storage = options.storage.empty() ? dir_ / "storage" : options.storage;
  std::string config =
      "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    "
      "rootdirectory: " +
      storage + "\nhttp:\n  addr: 127.0.0.1:" + std::to_string(port_) + "\n";
  if (options.tls) {
    Run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", dir_ / "key.pem", "-out",
         dir_ / "cert.pem", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"});
    WriteFile(dir_ / "htpasswd", std::string(kUser) + ":" + kPasswordHash + "\n");
    config += "  tls:\n    certificate: " + (dir_ / "cert.pem") + "\n    key: " + (dir_ / "key.pem") +
              "\nauth:\n  htpasswd:\n    realm: test\n    path: " + (dir_ / "htpasswd") + "\n";
  }
  WriteFile(dir_ / "config.yml", config);
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  pid_ = Spawn({kProgram, "serve", dir_ / "config.yml"}, pipe_fds[1]);
  close(pipe_fds[1]);
  // It says so itself when it listens; its log goes on into a pipe nobody reads, of which it needs little.
  std::string log;
  char buffer[4096];
  pollfd poller = {pipe_fds[0], POLLIN, 0};
  while (log.find("listening on") == std::string::npos) {
    if (poll(&poller, 1, 20'000) <= 0) throw std::runtime_error("docker-registry does not start: " + log);
    const ssize_t got = read(pipe_fds[0], buffer, sizeof(buffer));
    if (got <= 0) throw std::runtime_error("docker-registry ended: " + log);
    log.append(buffer, static_cast<std::size_t>(got));
  }
  std::thread([fd = pipe_fds[0]] {
    char sink[4096];
    while (read(fd, sink, sizeof(sink)) > 0) {
    }
    close(fd);
  }).detach();
}

DockerRegistry::~DockerRegistry() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void DockerRegistry::PushBlob(const std::string& repository, const std::string& blob) {
  const PlainResponse begun = PlainRequest(port_, "POST", "/v2/" + repository + "/blobs/uploads/");
  if (begun.status != 202) throw std::runtime_error("upload: " + std::to_string(begun.status) + begun.body);
  std::string location = begun.headers.at("location");
  location = location.substr(location.find("/v2/"));
  const PlainResponse done = PlainRequest(port_, "PUT", location + "&digest=" + DigestOf(blob).text(), blob);
  if (done.status != 201) throw std::runtime_error("upload: " + std::to_string(done.status) + done.body);
}

void DockerRegistry::Push(const std::string& repository, const std::string& tag, const TestImage& image) {
  for (const TestLayer& layer : image.layers) PushBlob(repository, layer.blob);
  PushBlob(repository, image.config);
  PushManifest(repository, tag, image.manifest_type, image.manifest);
}

void DockerRegistry::PushManifest(const std::string& repository, const std::string& tag, const std::string& type,
                                  const std::string& manifest) {
  const PlainResponse done = PlainRequest(port_, "PUT", "/v2/" + repository + "/manifests/" + tag, manifest, type);
  if (done.status != 201) throw std::runtime_error("manifest: " + std::to_string(done.status) + done.body);
}

}  // namespace burstlet::cache::test
