#include "sandbox/net/netlink.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::sandbox {
namespace {

// Far more than the links of a host with thousands of pods take; an endless answer ends here.
constexpr std::size_t kMaxAnswerBytes = std::size_t{64} << 20;
constexpr std::size_t kReceiveBytes = 65536;

/// The text of an extended acknowledgement, or "".
std::string KernelWords(const nlmsghdr* message) {
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return "";
  std::size_t skip = sizeof(nlmsgerr);
  // Without NLM_F_CAPPED the request's payload stands between the error and the attributes.
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) {
    if (error->msg.nlmsg_len < sizeof(nlmsghdr)) return "";
    skip += MNL_ALIGN(error->msg.nlmsg_len - sizeof(nlmsghdr));
  }
  const std::size_t payload = mnl_nlmsg_get_payload_len(message);
  if (skip > payload) return "";
  const char* start = static_cast<const char*>(mnl_nlmsg_get_payload(message)) + skip;
  return AttrString(FindAttribute(start, payload - skip, NLMSGERR_ATTR_MSG));
}

/// The status of an NLMSG_ERROR message (0 is an acknowledgement).
absl::Status StatusOf(const nlmsghdr* message) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr)) return absl::InternalError("netlink: short error message");
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  if (error->error == 0) return absl::OkStatus();
  const std::string words = KernelWords(message);
  return ErrnoError(-error->error, words.empty() ? "netlink" : absl::StrCat("netlink (", words, ")"));
}

}  // namespace

NetlinkBatch::NetlinkBatch() : buffer_(2 * kMaxMessage) {}

nlmsghdr* NetlinkBatch::Begin(std::uint16_t type, std::uint16_t flags) {
  Close();
  // Zeroes are needed: libmnl does not clear padding.
  if (buffer_.size() - used_ < kMaxMessage) buffer_.resize(2 * buffer_.size());
  open_ = mnl_nlmsg_put_header(buffer_.data() + used_);
  open_->nlmsg_type = type;
  open_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  ++count_;
  return open_;
}

void NetlinkBatch::AcknowledgeHere() {
  if (open_ == nullptr) return;
  open_->nlmsg_flags |= NLM_F_ACK;
  acknowledged_ = count_;
}

void NetlinkBatch::Close() {
  if (open_ == nullptr) return;
  used_ += MNL_ALIGN(open_->nlmsg_len);
  open_ = nullptr;
}

NetlinkSocket::NetlinkSocket(mnl_socket* socket) : socket_(socket), receive_buffer_(kReceiveBytes) {}

absl::StatusOr<NetlinkSocket> NetlinkSocket::Open(int protocol) {
  mnl_socket* raw = mnl_socket_open2(protocol, SOCK_CLOEXEC);
  if (raw == nullptr) return ErrnoError(errno, "opening a netlink socket");
  NetlinkSocket socket(raw);
  if (mnl_socket_bind(raw, 0, MNL_SOCKET_AUTOPID) != 0) return ErrnoError(errno, "binding a netlink socket");
  // Both only make errors readable and small; a kernel without them still works.
  int on = 1;
  mnl_socket_setsockopt(raw, NETLINK_EXT_ACK, &on, sizeof on);
  mnl_socket_setsockopt(raw, NETLINK_CAP_ACK, &on, sizeof on);
  return socket;
}

absl::Status NetlinkSocket::Send(NetlinkBatch& batch) {
  batch.Close();
  for (std::size_t at = 0; at < batch.used_;) {
    auto* message = reinterpret_cast<nlmsghdr*>(batch.buffer_.data() + at);
    message->nlmsg_seq = ++sequence_;
    at += MNL_ALIGN(message->nlmsg_len);
  }
  if (mnl_socket_sendto(socket_.get(), batch.buffer_.data(), batch.used_) < 0) {
    return ErrnoError(errno, "sending to netlink");
  }
  return absl::OkStatus();
}

absl::Status NetlinkSocket::Receive(std::uint32_t first, std::uint32_t last, bool dump, const Reply& reply) {
  absl::Status failure = absl::OkStatus();
  std::size_t total = 0;
  for (;;) {
    const ssize_t received = recv(mnl_socket_get_fd(socket_.get()), receive_buffer_.data(), receive_buffer_.size(),
                                  MSG_DONTWAIT | MSG_TRUNC);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return failure.ok() ? ErrnoError(errno, "reading netlink's answer") : failure;
    total += static_cast<std::size_t>(received);
    if (static_cast<std::size_t>(received) > receive_buffer_.size() || total > kMaxAnswerBytes) {
      return absl::ResourceExhaustedError("netlink's answer is too long");
    }
    int left = static_cast<int>(received);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(receive_buffer_.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      // Late answers of an earlier, failed exchange.
      if (message->nlmsg_seq < first || message->nlmsg_seq > last) continue;
      const bool done = message->nlmsg_type == NLMSG_DONE;
      if (message->nlmsg_type == NLMSG_ERROR) {
        if (absl::Status status = StatusOf(message); !status.ok() && failure.ok()) failure = std::move(status);
      } else if (!done && message->nlmsg_type >= NLMSG_MIN_TYPE && reply) {
        if (absl::Status status = reply(message); !status.ok() && failure.ok()) failure = std::move(status);
      }
      if (message->nlmsg_seq == last && (done || message->nlmsg_type == NLMSG_ERROR)) return failure;
      if (dump && !failure.ok()) return failure;
    }
  }
}

absl::Status NetlinkSocket::Execute(NetlinkBatch& batch, const Reply& reply) {
  if (batch.acknowledged_ == 0) batch.AcknowledgeHere();
  const std::uint32_t first = sequence_ + 1;
  RETURN_IF_ERROR(Send(batch));
  return Receive(first, first + static_cast<std::uint32_t>(batch.acknowledged_) - 1, /*dump=*/false, reply);
}

absl::Status NetlinkSocket::Dump(NetlinkBatch& batch, const Reply& reply) {
  RETURN_IF_ERROR(Send(batch));
  return Receive(sequence_, sequence_, /*dump=*/true, reply);
}

const nlattr* FindAttribute(const void* attributes, std::size_t bytes, std::uint16_t type) {
  const char* at = static_cast<const char*>(attributes);
  const char* end = at + bytes;
  while (at < end) {
    const auto* attribute = reinterpret_cast<const nlattr*>(at);
    if (!mnl_attr_ok(attribute, static_cast<int>(end - at))) return nullptr;
    if (mnl_attr_get_type(attribute) == type) return attribute;
    at += MNL_ALIGN(attribute->nla_len);
  }
  return nullptr;
}

const nlattr* FindAttribute(const nlmsghdr* message, std::size_t header, std::uint16_t type) {
  const std::size_t skip = MNL_ALIGN(header);
  const std::size_t payload = mnl_nlmsg_get_payload_len(message);
  if (payload < skip) return nullptr;
  return FindAttribute(static_cast<const char*>(mnl_nlmsg_get_payload(message)) + skip, payload - skip, type);
}

std::uint32_t AttrU32(const nlattr* attribute) {
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof(std::uint32_t)) return 0;
  return mnl_attr_get_u32(attribute);
}

std::string AttrString(const nlattr* attribute) {
  if (attribute == nullptr) return "";
  const char* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
  return std::string(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
}

}  // namespace burstlet::sandbox
