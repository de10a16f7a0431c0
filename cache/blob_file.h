// A file of the store that is being written: disk and sha256 have a thread of their own, beside inflate and tar.
//
// A few blocks are handed over, so memory stays the same for any size. The sum is over the bytes in the order in which
// they are written: from byte 4096 to the end, then the first 4096. FileSum computes the same of a file that is there.
// Threads: one caller. Failure: Status with the errno (a full disk), at any later call; the file is then the caller's
// to remove.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "cache/digest.h"
#include "cache/erofs/sink.h"
#include "cache/fd.h"

namespace burstlet::cache {

class BlobFile : public erofs::Sink {
 public:
  /// Makes `name` in `directory`, which must not exist.
  static absl::StatusOr<std::unique_ptr<BlobFile>> Create(int directory, const std::string& name);
  ~BlobFile() override;

  absl::Status Write(std::span<const std::uint8_t> data) override;
  absl::Status Zeros(std::uint64_t count) override;
  absl::Status WriteFirstBlock(std::span<const std::uint8_t> block) override;
  /// Waits until everything is on disk; returns its sum.
  absl::StatusOr<Digest> Finish();

 private:
  struct Block {
    std::vector<std::uint8_t> data;
    std::uint64_t zeros = 0;  // behind the data
    bool first = false;
  };

  explicit BlobFile(Fd file);
  absl::Status Submit();
  void Run();
  absl::Status Store(const Block& block);

  Fd file_;
  Block current_;
  std::thread thread_;
  // The thread's own:
  Hasher hasher_;
  std::uint64_t offset_;
  std::uint64_t flushed_;
  // Guarded by mutex_:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Block> queue_;
  std::vector<std::vector<std::uint8_t>> free_;
  absl::Status status_;
  bool busy_ = false;
  bool stopping_ = false;
};

/// The sum of a finished file, read past the page cache where that is possible. `pace` is told of each piece's bytes
/// and may wait; false ends the reading (kCancelled).
absl::StatusOr<Digest> FileSum(int directory, const std::string& name, const std::function<bool(std::size_t)>& pace);

}  // namespace burstlet::cache
