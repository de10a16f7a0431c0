#include "kube/server/local_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "kube/server/owned_fd.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Local = asio::local::stream_protocol;

constexpr std::chrono::milliseconds kAcceptRetry{100};

/// The socket's address by way of its folder's descriptor: 108 bytes are little for a path.
absl::StatusOr<sockaddr_un> AddressOf(const std::string& path, OwnedFd* folder) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return absl::InvalidArgumentError(path + ": an absolute path is needed");
  *folder = OwnedFd(open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder->get() < 0) return ErrnoError(errno, path);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "/proc/self/fd/" + std::to_string(folder->get()) + path.substr(slash);
  if (name.size() >= sizeof(address.sun_path)) return absl::InvalidArgumentError(path + ": the name is too long");
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  return address;
}

}  // namespace

LocalListener::LocalListener(asio::io_context& loop, Accepted accepted)
    : loop_(loop),
      accepted_(std::move(accepted)),
      acceptor_(asio::make_strand(loop)),
      retry_(acceptor_.get_executor()) {}

absl::Status LocalListener::Start(const std::string& path) {
  OwnedFd folder;
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path, &folder));
  OwnedFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return ErrnoError(errno, path);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, path);
  // Before it has a name: nobody may connect in between.
  if (fchmod(fd.get(), 0600) != 0) return ErrnoError(errno, path);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return ErrnoError(errno, path);
  if (listen(fd.get(), SOMAXCONN) != 0) return ErrnoError(errno, path);
  error_code error;
  acceptor_.assign(Local(), fd.get(), error);
  if (error) return absl::InternalError(path + ": " + error.message());
  fd.Release();
  path_ = path;
  asio::post(acceptor_.get_executor(), [this] { Accept(); });
  return absl::OkStatus();
}

void LocalListener::Accept() {
  if (!acceptor_.is_open()) return;
  auto socket = std::make_shared<Local::socket>(asio::make_strand(loop_));
  acceptor_.async_accept(*socket, [this, socket](error_code error) {
    if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (!error) {
      accepted_(MakeLocalStream(std::move(*socket)));
      return Accept();
    }
    // Out of descriptors, most likely: connections end, and then there are some.
    retry_.expires_after(kAcceptRetry);
    retry_.async_wait([this](error_code cancelled) {
      if (!cancelled) Accept();
    });
  });
}

void LocalListener::Stop() {
  if (!path_.empty()) unlink(path_.c_str());
  path_.clear();
  asio::post(acceptor_.get_executor(), [this] {
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
  });
}

absl::StatusOr<int> ConnectLocal(const std::string& path) {
  OwnedFd folder;
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path, &folder));
  OwnedFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return ErrnoError(errno, path);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    if (errno == ECONNREFUSED) return absl::UnavailableError(path + ": no agent listens there");
    return ErrnoError(errno, path);
  }
  return fd.Release();
}

}  // namespace burstlet::kube
