#include "kube/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

constexpr char kServiceAccountDir[] = "/var/run/secrets/kubernetes.io/serviceaccount/";
constexpr std::size_t kMaxCredentialBytes = std::size_t{1} << 20;
constexpr std::chrono::seconds kLookInterval{1};

absl::StatusOr<std::string> ReadCredentialFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, absl::StrCat("cannot open ", path));
  std::string text;
  char buffer[8192];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof(buffer))) > 0 && text.size() < kMaxCredentialBytes) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  const int error = errno;
  ::close(fd);
  if (got < 0) return ErrnoError(error, absl::StrCat("cannot read ", path));
  return text;
}

/// The file's text, or what stands in the configuration itself.
absl::Status LoadOne(const std::string& data, const std::string& file, std::string& out) {
  out = data;
  if (!data.empty() || file.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(out, ReadCredentialFile(file));
  return absl::OkStatus();
}

void StripSpace(std::string& text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Credentials::Credentials(ClientConfig config) : config_(std::move(config)) {}

absl::Status Credentials::Load(CredentialMaterial& material) const {
  RETURN_IF_ERROR(LoadOne(config_.ca_data, config_.ca_file, material.ca));
  RETURN_IF_ERROR(LoadOne(config_.cert_data, config_.cert_file, material.cert));
  const bool one_file = config_.cert_data.empty() && config_.key_data.empty() && config_.cert_file == config_.key_file;
  // A file that holds both is read once: it may be replaced between two looks.
  if (one_file) {
    material.key = material.cert;
  } else {
    RETURN_IF_ERROR(LoadOne(config_.key_data, config_.key_file, material.key));
  }
  // Unlike the others the token's file wins over the token: the latter is only what it began with.
  material.token = config_.token;
  if (!config_.token_file.empty()) {
    ASSIGN_OR_RETURN(material.token, ReadCredentialFile(config_.token_file));
  }
  StripSpace(material.token);
  return absl::OkStatus();
}

std::string Credentials::Fingerprint() const {
  std::string text;
  for (const std::string* file : {&config_.ca_file, &config_.cert_file, &config_.key_file, &config_.token_file}) {
    struct stat info{};
    if (file->empty() || ::stat(file->c_str(), &info) != 0) continue;
    absl::StrAppend(&text, info.st_dev, ":", info.st_ino, ":", info.st_size, ":", info.st_mtim.tv_sec, ".",
                    info.st_mtim.tv_nsec, ";");
  }
  return text;
}

absl::Status Credentials::Refresh() {
  const auto now = std::chrono::steady_clock::now();
  const bool first = tls_generation_ == 0;
  if (!first && now - looked_at_ < kLookInterval) return absl::OkStatus();
  looked_at_ = now;
  std::string fingerprint = Fingerprint();
  if (!first && fingerprint == fingerprint_) return absl::OkStatus();
  CredentialMaterial fresh;
  const absl::Status status = Load(fresh);
  if (!status.ok()) {
    if (first) return Annotate(status, "API server credentials");
    // Perhaps in the middle of a rotation: the old ones go on, and the next look decides.
    Warn("API server credentials could not be read anew", {{"err", std::string(status.message())}});
    return absl::OkStatus();
  }
  fingerprint_ = std::move(fingerprint);
  const bool tls_changed = fresh.ca != material_.ca || fresh.cert != material_.cert || fresh.key != material_.key;
  material_ = std::move(fresh);
  if (first || tls_changed) ++tls_generation_;
  return absl::OkStatus();
}

absl::StatusOr<ClientConfig> InClusterConfig() {
  const std::string host = Environment("KUBERNETES_SERVICE_HOST");
  const std::string port = Environment("KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) {
    return absl::NotFoundError(
        "not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; give --kubeconfig");
  }
  ClientConfig config;
  const bool ipv6 = host.find(':') != std::string::npos;
  config.server = ipv6 ? absl::StrCat("https://[", host, "]:", port) : absl::StrCat("https://", host, ":", port);
  config.ca_file = absl::StrCat(kServiceAccountDir, "ca.crt");
  config.token_file = absl::StrCat(kServiceAccountDir, "token");
  return config;
}

}  // namespace burstlet::kube
