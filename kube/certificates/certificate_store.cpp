#include "kube/certificates/certificate_store.h"

#include <dirent.h>
#include <limits.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/certificates/file.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

constexpr mode_t kPrivate = 0600;
constexpr mode_t kFolder = 0755;
constexpr char kCurrent[] = "-current.pem";
constexpr char kPending[] = ".key.tmp";

/// "2026-11-24-10-20-25", as the kubelet stamps its files.
std::string Stamp() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d-%H-%M-%S", &parts);
  return text;
}

std::string LinkTarget(const std::string& link) {
  char target[PATH_MAX];
  const ssize_t size = ::readlink(link.c_str(), target, sizeof(target));
  return size <= 0 ? "" : std::string(target, static_cast<std::size_t>(size));
}

}  // namespace

CertificateStore::CertificateStore(std::string directory, std::string prefix)
    : directory_(std::move(directory)), prefix_(std::move(prefix)) {}

std::string CertificateStore::CurrentPath() const { return Path(kCurrent); }

absl::StatusOr<StoredCertificate> CertificateStore::Current() const {
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(CurrentPath()));
  auto info = ReadKeyPair(text, text);
  if (!info.ok()) return Annotate(info.status(), CurrentPath());
  return StoredCertificate{text, text, *std::move(info)};
}

absl::StatusOr<StoredCertificate> CertificateStore::Update(const std::string& cert_pem, const std::string& key_pem) {
  const std::string text = absl::StrCat(cert_pem, absl::EndsWith(cert_pem, "\n") ? "" : "\n", key_pem);
  // What does not fit together never becomes the current pair.
  ASSIGN_OR_RETURN(CertificateInfo info, ReadKeyPair(cert_pem, key_pem));
  RETURN_IF_ERROR(MakeFolder(directory_, kFolder));
  const std::string before = LinkTarget(CurrentPath());
  std::string path = Path(absl::StrCat("-", Stamp(), ".pem"));
  // Two within one second: the one that is in use is never written over.
  for (int number = 1; ::access(path.c_str(), F_OK) == 0; ++number) {
    path = Path(absl::StrCat("-", Stamp(), ".", number, ".pem"));
  }
  RETURN_IF_ERROR(WriteFileDurably(path, text, kPrivate));
  RETURN_IF_ERROR(SwapSymlink(path, CurrentPath()));
  LogIfError(Sweep(path, before), "Old certificates not removed");
  return StoredCertificate{text, text, std::move(info)};
}

absl::Status CertificateStore::Sweep(const std::string& keep, const std::string& before) const {
  DIR* const folder = ::opendir(directory_.c_str());
  if (folder == nullptr) return ErrnoError(errno, absl::StrCat("cannot list ", directory_));
  absl::Status status;
  while (const dirent* entry = ::readdir(folder)) {
    const std::string name = entry->d_name;
    // "<prefix>-2..." only: the symlink, keys and what others keep here stay.
    if (!absl::StartsWith(name, prefix_ + "-2") || !absl::EndsWith(name, ".pem")) continue;
    const std::string path = directory_ + "/" + name;
    if (path == keep || path == before) continue;
    if (::unlink(path.c_str()) != 0) status = ErrnoError(errno, absl::StrCat("cannot remove ", path));
  }
  ::closedir(folder);
  return status;
}

absl::StatusOr<std::string> CertificateStore::PendingKey() {
  const auto there = ReadSmallFile(Path(kPending));
  // A request's name is made of the key: who cannot make that cannot use it. And the key of the current certificate is
  // left over from a crash right after it was stored: what it asked for is answered.
  if (there.ok() && CertificateRequestName(*there, {}, {}).ok()) {
    const auto current = Current();
    if (!current.ok() || !ReadKeyPair(current->cert_pem, *there).ok()) return there;
  }
  ASSIGN_OR_RETURN(const std::string key, NewKey());
  RETURN_IF_ERROR(MakeFolder(directory_, kFolder));
  RETURN_IF_ERROR(WriteFileDurably(Path(kPending), key, kPrivate));
  return key;
}

absl::Status CertificateStore::DropPendingKey() {
  if (::unlink(Path(kPending).c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoError(errno, absl::StrCat("cannot remove ", Path(kPending)));
}

}  // namespace burstlet::kube
