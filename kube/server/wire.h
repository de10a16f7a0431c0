// The two sides of a connection that streams: the wire (bytes out, reads on demand) and its user.
//
// Sessions (logs, exec, port-forward) are written against Wire, so that they know neither TLS nor HTTP and can be
// tested without. Threads: everything of one connection runs on its strand, `executor()`. Back-pressure: Write always
// takes, so a user stops producing while queued() is above kHighWater and goes on at OnDrained. Bytes are read only
// after ReadMore: a user that can't take more does not ask.
#pragma once

// Boost 1.74 uses std::exchange without including it.
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "kube/server/http_message.h"

namespace burstlet::kube {

class WireUser {
 public:
  virtual ~WireUser() = default;
  /// The answer to one ReadMore; the view ends with the call.
  virtual void OnBytes(std::string_view bytes) = 0;
  /// The queue fell below kLowWater after having been above.
  virtual void OnDrained() = 0;
  /// The connection has ended, whoever ended it. Called once, and nothing after.
  virtual void OnGone() = 0;
};

class Wire {
 public:
  static constexpr std::size_t kHighWater = 256 * 1024;
  static constexpr std::size_t kLowWater = 64 * 1024;

  virtual ~Wire() = default;
  virtual boost::asio::any_io_executor executor() = 0;
  /// Runs a function on the strand, from any thread; it is dropped when the stream is over by then.
  using Poster = std::function<void(std::function<void()>)>;
  virtual Poster poster() = 0;
  virtual void Write(std::string bytes) = 0;
  /// As Write, and never in one TLS record with what was written before.
  virtual void WriteApart(std::string bytes) = 0;
  /// Bytes not yet taken by the kernel.
  virtual std::size_t queued() const = 0;
  virtual void ReadMore() = 0;
  /// The user is done and the response complete: the connection serves its next request when the client allows.
  virtual void Finish() = 0;
  /// Ends the connection once all that was written is sent.
  virtual void Close() = 0;
  /// Ends the connection now.
  virtual void Abort() = 0;
};

/// One HTTP request being answered. Exactly one of Respond and Stream is called, once.
class Exchange {
 public:
  /// Runs a function on the connection's strand, from any thread; it is dropped when the request is gone by then.
  using Resume = std::function<void(std::function<void(Exchange&)>)>;

  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;
  virtual void Respond(HttpResponse response) = 0;
  /// The client has shown who it is: its connection is no longer a stranger's, which has less time and goes first.
  virtual void Trust() = 0;
  /// Writes `head` and hands the connection to `user`.
  virtual Wire& Stream(std::string head, std::shared_ptr<WireUser> user) = 0;
  /// `guard` is let go when the request has ended, answered or not.
  virtual void Hold(std::shared_ptr<void> guard) = 0;
  virtual Resume Resumer() = 0;
};

}  // namespace burstlet::kube
