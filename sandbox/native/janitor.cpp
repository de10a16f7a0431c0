#include "sandbox/native/janitor.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "metrics/log.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"
#include "sandbox/os/unique_fd.h"

namespace burstlet::sandbox {
namespace {

constexpr int kMaxTries = 12;

std::chrono::milliseconds Pause(int tries) { return std::chrono::milliseconds(std::min(1 << tries, 2000)); }

}  // namespace

Janitor::Janitor(Paths paths, CgroupTree& cgroups)
    : paths_(std::move(paths)), cgroups_(cgroups), thread_([this] { Run(); }) {}

Janitor::~Janitor() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::Status Janitor::Discard(const std::string& path) {
  std::string name;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    name = absl::StrCat(::getpid(), "-", std::chrono::steady_clock::now().time_since_epoch().count(), "-", ++counter_);
  }
  std::string target = absl::StrCat(paths_.Trash(), "/", name);
  if (::rename(path.c_str(), target.c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return ErrnoError(errno, absl::StrCat("move ", path, " to the trash"));
  }
  Add({name, "", 0, std::chrono::steady_clock::now()});
  return absl::OkStatus();
}

void Janitor::RemoveCgroup(const std::string& path) {
  absl::Status removed = cgroups_.Remove(path);
  if (!removed.ok()) Add({"", path, 0, std::chrono::steady_clock::now() + Pause(0)});
}

void Janitor::SweepTrash() {
  DIR* stream = ::opendir(paths_.Trash().c_str());
  if (stream == nullptr) return;
  while (dirent* entry = ::readdir(stream)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") Add({name, "", 0, std::chrono::steady_clock::now()});
  }
  ::closedir(stream);
}

void Janitor::Add(Work work) {
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back(std::move(work));
  changed_.notify_all();
}

void Janitor::Drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return (queue_.empty() && !busy_) || stopping_; });
}

bool Janitor::Do(Work& work) {
  if (!work.cgroup.empty()) {
    cgroups_.KillAll(work.cgroup).IgnoreError();
    absl::Status removed = cgroups_.Remove(work.cgroup);
    if (removed.ok()) return true;
    if (++work.tries < kMaxTries) return false;
    LogIfError(removed, "Failed to remove a cgroup");
    return true;
  }
  UniqueFd trash(::open(paths_.Trash().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (trash.valid()) LogIfError(RemoveTree(trash.get(), work.trash_name), "Failed to delete a writable layer");
  return true;
}

void Janitor::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    if (queue_.empty()) {
      changed_.wait(lock);
      continue;
    }
    auto next =
        std::min_element(queue_.begin(), queue_.end(), [](const Work& a, const Work& b) { return a.due < b.due; });
    if (next->due > std::chrono::steady_clock::now()) {
      changed_.wait_until(lock, next->due);
      continue;
    }
    Work work = std::move(*next);
    queue_.erase(next);
    busy_ = true;
    lock.unlock();
    bool done = Do(work);
    lock.lock();
    busy_ = false;
    if (!done) {
      work.due = std::chrono::steady_clock::now() + Pause(work.tries);
      queue_.push_back(std::move(work));
    }
    changed_.notify_all();
  }
}

}  // namespace burstlet::sandbox
