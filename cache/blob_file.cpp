#include "cache/blob_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "metrics/status.h"

namespace burstlet::cache {
namespace {

constexpr std::uint64_t kFirstBlock = 4096;
constexpr std::size_t kBlock = 512 * 1024;
constexpr std::size_t kQueue = 3;
constexpr std::uint64_t kFlushEvery = 8ull << 20;  // so that the sync at the end finds little left to do
constexpr std::size_t kReadBlock = 1u << 20;

absl::Status WriteAt(int fd, std::span<const std::uint8_t> data, std::uint64_t offset) {
  while (!data.empty()) {
    const ssize_t wrote = pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return ErrnoError(errno, "write layer");
    data = data.subspan(static_cast<std::size_t>(wrote));
    offset += static_cast<std::uint64_t>(wrote);
  }
  return absl::OkStatus();
}

void HashZeros(Hasher* hasher, std::uint64_t count) {
  static constexpr std::array<std::uint8_t, 65536> kZeros = {};
  while (count > 0) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(count, kZeros.size()));
    hasher->Update(kZeros.data(), size);
    count -= size;
  }
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

}  // namespace

BlobFile::BlobFile(Fd file) : file_(std::move(file)), offset_(kFirstBlock), flushed_(kFirstBlock) {
  current_.data.reserve(kBlock);
  thread_ = std::thread([this] { Run(); });
}

absl::StatusOr<std::unique_ptr<BlobFile>> BlobFile::Create(int directory, const std::string& name) {
  Fd file(openat(directory, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return ErrnoError(errno, "make a layer's file");
  return std::unique_ptr<BlobFile>(new BlobFile(std::move(file)));
}

BlobFile::~BlobFile() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    queue_.clear();
    changed_.notify_all();
  }
  thread_.join();
}

absl::Status BlobFile::Write(std::span<const std::uint8_t> data) {
  while (!data.empty()) {
    const std::size_t take = std::min(data.size(), kBlock - current_.data.size());
    current_.data.insert(current_.data.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(take));
    data = data.subspan(take);
    if (current_.data.size() == kBlock) RETURN_IF_ERROR(Submit());
  }
  return absl::OkStatus();
}

absl::Status BlobFile::Zeros(std::uint64_t count) {
  if (count <= kFirstBlock) {  // a file's padding is not worth a hole
    static constexpr std::array<std::uint8_t, kFirstBlock> kZeros = {};
    return Write(std::span(kZeros).first(static_cast<std::size_t>(count)));
  }
  current_.zeros = count;
  return Submit();
}

absl::Status BlobFile::WriteFirstBlock(std::span<const std::uint8_t> block) {
  RETURN_IF_ERROR(Submit());
  current_.data.assign(block.begin(), block.end());
  current_.first = true;
  return Submit();
}

absl::Status BlobFile::Submit() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return queue_.size() < kQueue || !status_.ok(); });
  if (!status_.ok()) return status_;
  queue_.push_back(std::move(current_));
  current_ = Block();
  if (!free_.empty()) {
    current_.data = std::move(free_.back());
    free_.pop_back();
  }
  changed_.notify_all();
  lock.unlock();
  current_.data.reserve(kBlock);
  return absl::OkStatus();
}

void BlobFile::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !queue_.empty() || stopping_; });
    if (queue_.empty()) return;
    Block block = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    const absl::Status stored = Store(block);
    lock.lock();
    busy_ = false;
    if (!stored.ok()) {
      status_ = stored;
      queue_.clear();
    }
    block.data.clear();
    free_.push_back(std::move(block.data));
    changed_.notify_all();
  }
}

absl::Status BlobFile::Store(const Block& block) {
  hasher_.Update(block.data.data(), block.data.size());
  if (block.first) return WriteAt(file_.get(), block.data, 0);
  RETURN_IF_ERROR(WriteAt(file_.get(), block.data, offset_));
  offset_ += block.data.size();
  if (block.zeros > 0) {
    HashZeros(&hasher_, block.zeros);
    offset_ += block.zeros;
    if (ftruncate(file_.get(), static_cast<off_t>(offset_)) != 0) return ErrnoError(errno, "write layer");
  }
  if (offset_ - flushed_ >= kFlushEvery) {
    // A hint; an error shows at the sync.
    (void)sync_file_range(file_.get(), static_cast<off_t>(flushed_), static_cast<off_t>(offset_ - flushed_),
                          SYNC_FILE_RANGE_WRITE);
    flushed_ = offset_;
  }
  return absl::OkStatus();
}

absl::StatusOr<Digest> BlobFile::Finish() {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return (queue_.empty() && !busy_) || !status_.ok(); });
    if (!status_.ok()) return status_;
  }
  if (fdatasync(file_.get()) != 0) return ErrnoError(errno, "sync layer");
  return hasher_.Finish();
}

absl::StatusOr<Digest> FileSum(int directory, const std::string& name, const std::function<bool(std::size_t)>& pace) {
  // What the disk holds is asked for, not what memory remembers of it.
  Fd file(openat(directory, name.c_str(), O_RDONLY | O_DIRECT | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid() && errno == EINVAL) {
    file = Fd(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!file.valid()) return ErrnoError(errno, "open layer");
  const std::unique_ptr<void, Free> memory(std::aligned_alloc(kFirstBlock, kReadBlock));
  if (memory == nullptr) return absl::ResourceExhaustedError("no memory to read a layer");
  auto* buffer = static_cast<std::uint8_t*>(memory.get());
  const auto read_at = [&](std::uint64_t offset, std::size_t size) -> absl::StatusOr<std::size_t> {
    while (true) {
      const ssize_t got = pread(file.get(), buffer, size, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoError(errno, "read layer");
      return static_cast<std::size_t>(got);
    }
  };
  Hasher hasher;
  for (std::uint64_t offset = kFirstBlock;;) {
    ASSIGN_OR_RETURN(const std::size_t got, read_at(offset, kReadBlock));
    if (got == 0) break;
    hasher.Update(buffer, got);
    offset += got;
    if (!pace(got)) return absl::CancelledError("reading a layer was cancelled");
  }
  ASSIGN_OR_RETURN(const std::size_t got, read_at(0, kFirstBlock));
  hasher.Update(buffer, got);
  return hasher.Finish();
}

}  // namespace burstlet::cache
