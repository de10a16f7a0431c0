#include "cache/inflate.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {

using Block = std::span<const std::uint8_t>;

constexpr std::size_t kOutput = 256 * 1024;
constexpr int kWindowLogMax = 27;  // 128 MiB, what zstd itself allows without a request for more

/// Reads the head to choose, then gives it out again before the rest.
class InflateSource : public ByteSource {
 public:
  explicit InflateSource(ByteSource& from) : from_(from) {}
  ~InflateSource() override { ZSTD_freeDCtx(zstd_); }

  absl::StatusOr<Block> Next() override {
    if (!chosen_) RETURN_IF_ERROR(Choose());
    switch (compression_) {
      case Compression::kGzip:
        return NextGzip();
      case Compression::kZstd:
        return NextZstd();
      case Compression::kPlain:
        break;
    }
    if (!input_.empty()) return std::exchange(input_, Block());
    return from_.Next();
  }

 private:
  absl::Status Choose() {
    while (head_.size() < 4) {
      ASSIGN_OR_RETURN(const Block block, from_.Next());
      if (block.empty()) break;
      head_.insert(head_.end(), block.begin(), block.end());
    }
    chosen_ = true;
    input_ = Block(head_);
    if (head_.size() >= 2 && head_[0] == 0x1f && head_[1] == 0x8b) {
      compression_ = Compression::kGzip;
      output_.resize(kOutput);
      ResetGzip();
    } else if (head_.size() >= 4 && IsZstd(head_.data())) {
      compression_ = Compression::kZstd;
      output_.resize(kOutput);
      zstd_ = ZSTD_createDCtx();
      ZSTD_DCtx_setParameter(zstd_, ZSTD_d_windowLogMax, kWindowLogMax);
    }
    return absl::OkStatus();
  }

  /// A frame, or one of the skippable frames that tools put in front (RFC 8878, 3.1.2).
  static bool IsZstd(const std::uint8_t* p) {
    const bool frame = p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd;
    return frame || ((p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18);
  }

  /// More input if there is none; false at the end.
  absl::StatusOr<bool> Fill() {
    if (!input_.empty()) return true;
    ASSIGN_OR_RETURN(input_, from_.Next());
    return !input_.empty();
  }

  void ResetGzip() {
    isal_inflate_init(&gzip_);
    gzip_.crc_flag = ISAL_GZIP;
    in_member_ = true;
  }

  absl::StatusOr<Block> NextGzip() {
    while (true) {
      ASSIGN_OR_RETURN(const bool more, Fill());
      if (!in_member_) {
        if (!more) return Block();
        // tar's blocking leaves zeros behind a member; anything else must be another member (RFC 1952, 2.2).
        if (input_[0] == 0) {
          input_ = input_.subspan(1);
          padded_ = true;
          continue;
        }
        if (input_[0] != 0x1f || padded_) return absl::DataLossError("gzip: garbage after the end of the stream");
        ResetGzip();
      } else if (!more) {
        return absl::DataLossError("gzip: unexpected end of the stream");
      }
      ASSIGN_OR_RETURN(const std::size_t made, StepGzip());
      if (made > 0) return Block(output_.data(), made);
    }
  }

  absl::StatusOr<std::size_t> StepGzip() {
    const auto offered = static_cast<std::uint32_t>(std::min<std::size_t>(input_.size(), 1u << 30));
    gzip_.next_in = const_cast<std::uint8_t*>(input_.data());
    gzip_.avail_in = offered;
    gzip_.next_out = output_.data();
    gzip_.avail_out = static_cast<std::uint32_t>(output_.size());
    const int code = isal_inflate(&gzip_);
    input_ = input_.subspan(offered - gzip_.avail_in);
    const std::size_t made = output_.size() - gzip_.avail_out;
    if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT && code != ISAL_OUT_OVERFLOW) {
      return absl::DataLossError(absl::StrCat("gzip: invalid data (igzip ", code, ")"));
    }
    if (gzip_.block_state == ISAL_BLOCK_FINISH) in_member_ = false;
    return made;
  }

  absl::StatusOr<Block> NextZstd() {
    while (true) {
      // Input that is not yet written out needs no more input, so the decoder is asked first.
      ASSIGN_OR_RETURN(const bool more, pending_output_ ? absl::StatusOr<bool>(true) : Fill());
      if (!more) {
        if (in_frame_) return absl::DataLossError("zstd: unexpected end of the stream");
        return Block();
      }
      ZSTD_inBuffer in{input_.data(), input_.size(), 0};
      ZSTD_outBuffer out{output_.data(), output_.size(), 0};
      const std::size_t code = ZSTD_decompressStream(zstd_, &out, &in);
      if (ZSTD_isError(code)) {
        const std::string text = absl::StrCat("zstd: ", ZSTD_getErrorName(code));
        const bool window = ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge;
        return window ? absl::ResourceExhaustedError(text) : absl::DataLossError(text);
      }
      input_ = input_.subspan(in.pos);
      in_frame_ = code != 0;
      pending_output_ = out.pos == output_.size() && code != 0;
      if (out.pos > 0) return Block(output_.data(), out.pos);
      pending_output_ = false;
    }
  }

  ByteSource& from_;
  std::vector<std::uint8_t> head_;
  std::vector<std::uint8_t> output_;
  Block input_;
  bool chosen_ = false;
  Compression compression_ = Compression::kPlain;
  inflate_state gzip_;
  bool in_member_ = false;
  bool padded_ = false;
  ZSTD_DCtx* zstd_ = nullptr;
  bool in_frame_ = false;
  bool pending_output_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> Inflate(ByteSource& from) { return std::make_unique<InflateSource>(from); }

}  // namespace burstlet::cache
