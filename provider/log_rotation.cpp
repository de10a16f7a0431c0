#include "provider/log_rotation.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/async/signal_event.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "provider/sandbox_handle.h"

namespace burstlet::provider {
namespace {

constexpr char kCompressed[] = ".gz";
constexpr char kTemporary[] = ".tmp";

/// Everything beside the log whose name goes on after it.
std::vector<std::string> Siblings(const std::string& path) {
  std::vector<std::string> out;
  const std::size_t slash = path.rfind('/');
  const std::string directory = path.substr(0, slash), prefix = path.substr(slash + 1) + ".";
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (dir == nullptr) return out;
  while (const dirent* entry = readdir(dir.get())) {
    if (absl::StartsWith(entry->d_name, prefix)) out.push_back(absl::StrCat(directory, "/", entry->d_name));
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool InUse(const std::string& file, const std::vector<std::string>& all) {
  if (absl::EndsWith(file, kTemporary)) return false;
  if (absl::EndsWith(file, kCompressed)) return true;
  return std::find(all.begin(), all.end(), file + kCompressed) == all.end();
}

absl::Status Remove(const std::string& file) {
  if (unlink(file.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, file);
  return absl::OkStatus();
}

absl::Status Rename(const std::string& from, const std::string& to) {
  return rename(from.c_str(), to.c_str()) == 0 ? absl::OkStatus() : ErrnoError(errno, to);
}

absl::Status CopyCompressed(std::FILE* in, gzFile out, const std::string& name) {
  std::array<char, 64 * 1024> buffer;
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), in)) {
    if (gzwrite(out, buffer.data(), static_cast<unsigned>(count)) != static_cast<int>(count)) {
      return absl::InternalError(absl::StrCat(name, ": can't be compressed: ", gzerror(out, nullptr)));
    }
  }
  return std::ferror(in) != 0 ? ErrnoError(errno, name) : absl::OkStatus();
}

absl::Status Compress(const std::string& file) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "re"), std::fclose);
  if (in == nullptr) return ErrnoError(errno, file);
  const std::string temporary = file + kTemporary;
  const gzFile out = gzopen(temporary.c_str(), "wbe");
  if (out == nullptr) return ErrnoError(errno, temporary);
  absl::Status status = CopyCompressed(in.get(), out, file);
  if (gzclose(out) != Z_OK && status.ok()) status = absl::InternalError(absl::StrCat(temporary, ": can't be written"));
  struct stat info;
  if (status.ok() && fstat(fileno(in.get()), &info) == 0) {
    status = chmod(temporary.c_str(), info.st_mode & 0777) == 0 ? status : ErrnoError(errno, temporary);
  }
  if (status.ok()) status = Rename(temporary, file + kCompressed);
  if (!status.ok()) {
    LogIfError(Remove(temporary), "Temporary log not removed");
    return status;
  }
  return Remove(file);
}

/// Makes room for one more rotated file, and compresses what is left.
absl::Status TidyRotated(const std::string& path, int max_files) {
  const std::vector<std::string> all = Siblings(path);
  std::vector<std::string> kept;
  for (const std::string& file : all) {
    if (InUse(file, all)) {
      kept.push_back(file);
    } else {
      RETURN_IF_ERROR(Remove(file));
    }
  }
  // Besides these there are the log that is set aside now and the new one.
  const std::size_t most = static_cast<std::size_t>(std::max(0, max_files - 2));
  const std::size_t excess = kept.size() > most ? kept.size() - most : 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (i < excess) {
      RETURN_IF_ERROR(Remove(kept[i]));
    } else if (!absl::EndsWith(kept[i], kCompressed)) {
      RETURN_IF_ERROR(Compress(kept[i]));
    }
  }
  return absl::OkStatus();
}

std::string Timestamp(std::chrono::system_clock::time_point now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm utc;
  gmtime_r(&seconds, &utc);
  std::array<char, 32> text;
  return std::string(text.data(), std::strftime(text.data(), text.size(), "%Y%m%d-%H%M%S", &utc));
}

}  // namespace

absl::Status RotateIfLarge(const std::string& path, const LogRotationPolicy& policy,
                           std::chrono::system_clock::time_point now, const std::function<absl::Status()>& reopen) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return errno == ENOENT ? reopen() : ErrnoError(errno, path);
  if (info.st_size < policy.max_bytes) return absl::OkStatus();
  RETURN_IF_ERROR(TidyRotated(path, policy.max_files));
  const std::string rotated = absl::StrCat(path, ".", Timestamp(now));
  RETURN_IF_ERROR(Rename(path, rotated));
  const absl::Status reopened = reopen();
  if (!reopened.ok()) LogIfError(Rename(rotated, path), "Log not renamed back");
  return reopened;
}

void RemoveLogs(const std::string& path) {
  for (const std::string& file : Siblings(path)) LogIfError(Remove(file), "Old log not removed");
  LogIfError(Remove(path), "Old log not removed");
}

LogRotator::LogRotator(kube::Loop& loop, kube::TaskGroup& tasks, PodWorkers& workers, LogRotationPolicy policy)
    : loop_(loop), workers_(workers), policy_(policy) {
  if (policy_.max_bytes >= 0) tasks.Spawn("log rotation", Run());
}

std::vector<std::function<void()>> LogRotator::Due() {
  std::vector<std::function<void()>> looks;
  for (PodWorker* worker : workers_.All()) {
    const std::shared_ptr<SandboxHandle> handle = worker->sandbox();
    if (handle == nullptr) continue;
    for (const auto& [name, view] : worker->view().containers) {
      auto id = worker->RunningContainer(name);
      auto path = worker->LogPath(name, false);
      if (!id.ok() || !path.ok()) continue;
      looks.push_back([handle, id = *std::move(id), path = *std::move(path), policy = policy_] {
        const auto reopen = [&] {
          return handle->With([&](sandbox::Sandbox& sandbox) { return sandbox.ReopenLog(id); });
        };
        LogIfError(RotateIfLarge(path, policy, std::chrono::system_clock::now(), reopen), "Log not rotated");
      });
    }
  }
  return looks;
}

kube::Task<void> LogRotator::Run() {
  for (;;) {
    co_await kube::SleepUntil(loop_, std::chrono::steady_clock::now() + policy_.interval);
    auto looks = Due();
    if (looks.empty()) continue;
    co_await kube::Offload(loop_, pool_, [looks = std::move(looks)] {
      for (const auto& look : looks) look();
      return true;
    });
  }
}

}  // namespace burstlet::provider
