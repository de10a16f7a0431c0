#include "test/cache/plain_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace burstlet::cache::test {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool WriteAll(int fd, const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote = send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (wrote <= 0) return false;
    done += static_cast<std::size_t>(wrote);
  }
  return true;
}

/// Reads headers and as much body as Content-Length says (or to the end). First line in `first`.
bool ReadMessage(int fd, bool to_end, std::string* first, std::map<std::string, std::string>* headers,
                 std::string* body) {
  std::string data;
  char buffer[65536];
  std::size_t end;
  while ((end = data.find("\r\n\r\n")) == std::string::npos) {
    const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
    if (got <= 0) return false;
    data.append(buffer, static_cast<std::size_t>(got));
  }
  std::size_t at = data.find("\r\n");
  *first = data.substr(0, at);
  while (at < end) {
    const std::size_t start = at + 2;
    at = data.find("\r\n", start);
    const std::string line = data.substr(start, at - start);
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::size_t value = colon + 1;
    while (value < line.size() && line[value] == ' ') ++value;
    (*headers)[Lower(line.substr(0, colon))] = line.substr(value);
  }
  *body = data.substr(end + 4);
  const bool sized = headers->count("content-length") != 0;
  const std::size_t wanted = sized ? std::stoul((*headers)["content-length"]) : 0;
  while (sized ? body->size() < wanted : to_end) {
    const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
    if (got <= 0) break;
    body->append(buffer, static_cast<std::size_t>(got));
  }
  return true;
}

}  // namespace

PlainResponse PlainRequest(int port, const std::string& method, const std::string& target, const std::string& body,
                           const std::string& content_type) {
  PlainResponse out;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    std::string request = method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) +
                          "\r\nConnection: close\r\nContent-Type: " + content_type +
                          "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    std::string first;
    if (WriteAll(fd, request) && ReadMessage(fd, true, &first, &out.headers, &out.body) && first.size() > 12) {
      out.status = std::stoi(first.substr(9, 3));
    }
  }
  close(fd);
  return out;
}

bool Connection::Send(const std::string& bytes) { return !stopping_ && WriteAll(fd_, bytes); }

bool Connection::SendResponse(int status, const std::string& body, const std::string& headers) {
  return Send("HTTP/1.1 " + std::to_string(status) + " Status\r\nContent-Length: " + std::to_string(body.size()) +
              "\r\n" + headers + "\r\n" + body);
}

void Connection::Hang() {
  pollfd poller = {fd_, POLLRDHUP, 0};
  while (!stopping_ && poll(&poller, 1, 50) == 0) {
  }
}

PlainServer::PlainServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener_, 256) != 0) {
    throw std::runtime_error("listen");
  }
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

PlainServer::~PlainServer() {
  stopping_ = true;
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  close(listener_);
}

void PlainServer::Accept() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    open_.push_back(fd);
    threads_.emplace_back([this, fd] { Serve(fd); });
  }
}

void PlainServer::Serve(int fd) {
  while (!stopping_) {
    ServerRequest request;
    std::string first;
    if (!ReadMessage(fd, false, &first, &request.headers, &request.body)) break;
    const std::size_t space = first.find(' ');
    request.method = first.substr(0, space);
    request.target = first.substr(space + 1, first.rfind(' ') - space - 1);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      requests_.push_back(request);
    }
    Connection connection(fd, stopping_);
    handler_(request, connection);
    break;  // one request a connection: a handler may have written anything
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  open_.erase(std::find(open_.begin(), open_.end(), fd));
  close(fd);
}

int PlainServer::Count(const std::string& prefix) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int>(std::count_if(requests_.begin(), requests_.end(), [&](const ServerRequest& request) {
    return request.target.compare(0, prefix.size(), prefix) == 0;
  }));
}

std::vector<ServerRequest> PlainServer::requests() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return requests_;
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof(address);
  bind(fd, reinterpret_cast<sockaddr*>(&address), length);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace burstlet::cache::test
