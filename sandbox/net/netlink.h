// Requests to the kernel over netlink: messages gathered into one batch, sent at once, answered at once.
//
// Owner: whoever opened the socket; one thread at a time. The socket belongs to the network namespace in which its
// thread was at Open, wherever it is used later. The kernel answers within sendmsg(2), so nothing here ever waits.
// Failure: the first error of a batch, with the kernel's own words (netlink(7), extended acknowledgements).
#pragma once

#include <libmnl/libmnl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace burstlet::sandbox {

/// Messages in one buffer. A header returned by Begin is valid until the next Begin.
class NetlinkBatch {
 public:
  NetlinkBatch();

  /// Starts a message of at most kMaxMessage bytes.
  nlmsghdr* Begin(std::uint16_t type, std::uint16_t flags);
  /// Asks for an acknowledgement of the message begun last: the answer that Execute waits for. Needed only where that
  /// is not the batch's last message (nfnetlink's end-of-batch mark is not answered).
  void AcknowledgeHere();

  bool empty() const { return count_ == 0; }
  std::size_t count() const { return count_; }

  static constexpr std::size_t kMaxMessage = 16384;

 private:
  friend class NetlinkSocket;
  void Close();

  std::vector<char> buffer_;
  std::size_t used_ = 0;      // bytes of finished messages
  nlmsghdr* open_ = nullptr;  // the message being built
  std::size_t count_ = 0;
  std::size_t acknowledged_ = 0;  // which message, counted from 1
};

class NetlinkSocket {
 public:
  /// `protocol`: NETLINK_ROUTE or NETLINK_NETFILTER. Opened in the calling thread's network namespace.
  static absl::StatusOr<NetlinkSocket> Open(int protocol);

  /// Called for every data message of an answer; a bad one may be refused.
  using Reply = std::function<absl::Status(const nlmsghdr*)>;

  /// Sends the batch and reads all answers. rtnetlink carries out all messages even when one fails, nfnetlink none;
  /// the first failure is returned.
  absl::Status Execute(NetlinkBatch& batch, const Reply& reply = {});
  /// Sends the one request of `batch`, a dump (NLM_F_DUMP), and reads its bounded answer.
  absl::Status Dump(NetlinkBatch& batch, const Reply& reply);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  explicit NetlinkSocket(mnl_socket* socket);

  /// Gives sequence numbers to the batch's messages and sends it.
  absl::Status Send(NetlinkBatch& batch);
  absl::Status Receive(std::uint32_t first, std::uint32_t last, bool dump, const Reply& reply);

  std::unique_ptr<mnl_socket, Close> socket_;
  std::uint32_t sequence_ = 0;
  std::vector<char> receive_buffer_;
};

/// The first attribute of `type` among `bytes` bytes of attributes, whole and in bounds, or nullptr.
const nlattr* FindAttribute(const void* attributes, std::size_t bytes, std::uint16_t type);
/// The same behind a message's family header of `header` bytes.
const nlattr* FindAttribute(const nlmsghdr* message, std::size_t header, std::uint16_t type);
/// Attribute readers that check the length the sender gave. An absent or short attribute is nullopt-like: 0 or "".
std::uint32_t AttrU32(const nlattr* attribute);
std::string AttrString(const nlattr* attribute);

}  // namespace burstlet::sandbox
