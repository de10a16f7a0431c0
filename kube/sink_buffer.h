// A stream buffer for cpprestsdk that hands each piece of a body on at once instead of storing it.
//
// Included by kube/transport.cpp only. `consume` runs on cpprestsdk's threads, one piece at a time; when it returns
// false the transfer fails: that is the bound on what a server can make us keep.
#pragma once

#include <utility>

#include <cpprest/astreambuf.h>

#include <functional>
#include <stdexcept>

namespace burstlet::kube {

class SinkBuffer final : public concurrency::streams::details::streambuf_state_manager<std::uint8_t> {
 public:
  using Consume = std::function<bool(const char* data, std::size_t size)>;

  /// `released` is called when the library has dropped the request that this buffer belongs to.
  SinkBuffer(Consume consume, std::function<void()> released)
      : streambuf_state_manager(std::ios_base::out), consume_(std::move(consume)), released_(std::move(released)) {}
  ~SinkBuffer() override { released_(); }

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  std::size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(std::size_t, std::ios_base::openmode) override {}
  std::size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return static_cast<pos_type>(traits::eof()); }
  pos_type seekpos(pos_type, std::ios_base::openmode) override { return static_cast<pos_type>(traits::eof()); }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override {
    return static_cast<pos_type>(traits::eof());
  }
  bool acquire(std::uint8_t*&, std::size_t&) override { return false; }
  void release(std::uint8_t*, std::size_t) override {}

 protected:
  pplx::task<int_type> _putc(std::uint8_t c) override {
    const char piece = static_cast<char>(c);
    if (!consume_(&piece, 1)) return Refuse<int_type>();
    return pplx::task_from_result<int_type>(c);
  }
  pplx::task<std::size_t> _putn(const std::uint8_t* data, std::size_t size) override {
    if (!consume_(reinterpret_cast<const char*>(data), size)) return Refuse<std::size_t>();
    return pplx::task_from_result(size);
  }
  pplx::task<int_type> _bumpc() override { return AtEnd(); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return AtEnd(); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return AtEnd(); }
  pplx::task<int_type> _ungetc() override { return AtEnd(); }
  pplx::task<std::size_t> _getn(std::uint8_t*, std::size_t) override { return pplx::task_from_result<std::size_t>(0); }
  std::size_t _scopy(std::uint8_t*, std::size_t) override { return 0; }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  std::uint8_t* _alloc(std::size_t) override { return nullptr; }
  void _commit(std::size_t) override {}

 private:
  template <typename T>
  static pplx::task<T> Refuse() {
    return pplx::task_from_exception<T>(std::length_error("the answer is too large"));
  }
  static pplx::task<int_type> AtEnd() { return pplx::task_from_result<int_type>(traits::eof()); }

  Consume consume_;
  std::function<void()> released_;
};

}  // namespace burstlet::kube
