#include "test/kube/fakes/fake_api_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace burstlet::kube::test {
namespace {

long ReadSome(int fd, SSL* ssl, char* data, std::size_t size) {
  return ssl != nullptr ? SSL_read(ssl, data, static_cast<int>(size)) : ::recv(fd, data, size, 0);
}

bool WriteAll(int fd, SSL* ssl, const std::string& bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const long sent = ssl != nullptr ? SSL_write(ssl, bytes.data() + at, static_cast<int>(bytes.size() - at))
                                     : ::send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += static_cast<std::size_t>(sent);
  }
  return true;
}

template <typename Read>
auto FromPem(const std::string& pem, Read read) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  auto* object = read(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return object;
}

SSL_CTX* MakeContext(const FakeApiServer::Tls& tls) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  X509* cert = FromPem(tls.cert_pem, PEM_read_bio_X509);
  EVP_PKEY* key = FromPem(tls.key_pem, PEM_read_bio_PrivateKey);
  SSL_CTX_use_certificate(context, cert);
  SSL_CTX_use_PrivateKey(context, key);
  X509_free(cert);
  EVP_PKEY_free(key);
  if (!tls.client_ca_pem.empty()) {
    X509* ca = FromPem(tls.client_ca_pem, PEM_read_bio_X509);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca);
    X509_free(ca);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return context;
}

std::string PeerName(SSL* ssl) {
  X509* peer = ssl == nullptr ? nullptr : SSL_get1_peer_certificate(ssl);
  if (peer == nullptr) return "";
  char name[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, name, sizeof(name));
  X509_free(peer);
  return name;
}

}  // namespace

void Reply::Raw(const std::string& bytes) {
  if (open_ && !WriteAll(fd_, ssl_, bytes)) open_ = false;
}

void Reply::Send(int code, const std::string& body, const std::string& headers) {
  Raw("HTTP/1.1 " + std::to_string(code) + " X\r\nContent-Type: application/json\r\n" + headers +
      "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
}

void Reply::Begin(int code) {
  Raw("HTTP/1.1 " + std::to_string(code) +
      " X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
}

void Reply::Chunk(const std::string& piece) {
  char size[32];
  std::snprintf(size, sizeof(size), "%zx\r\n", piece.size());
  Raw(size + piece + "\r\n");
}

void Reply::End() { Raw("0\r\n\r\n"); }

void Reply::WaitForClientToGo() {
  pollfd watched{fd_, POLLIN | POLLRDHUP, 0};
  while (!server_.stopping_ && ::poll(&watched, 1, -1) >= 0) {
    char data[256];
    if ((watched.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0 || ReadSome(fd_, ssl_, data, sizeof(data)) <= 0) break;
  }
  open_ = false;
}

FakeApiServer::FakeApiServer(Script script) : script_(std::move(script)) { Listen(); }

FakeApiServer::FakeApiServer(Script script, const Tls& tls) : script_(std::move(script)), tls_(MakeContext(tls)) {
  // SSL_write has no MSG_NOSIGNAL.
  std::signal(SIGPIPE, SIG_IGN);
  Listen();
}

FakeApiServer::~FakeApiServer() {
  Stop();
  SSL_CTX_free(tls_);
}

std::string FakeApiServer::url() const {
  return (tls_ != nullptr ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port_);
}

std::vector<FakeRequest> FakeApiServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void FakeApiServer::Listen() {
  listen_fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listen_fd_, 128) != 0 ||
      ::getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("the fake API server cannot listen");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

void FakeApiServer::Accept() {
  while (!stopping_) {
    const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      ::close(fd);
      return;
    }
    const int number = ++connections_;
    open_[number] = fd;
    threads_.emplace_back([this, fd, number] { Serve(fd, number); });
  }
}

bool FakeApiServer::ReadRequest(int fd, SSL* ssl, std::string& buffer, FakeRequest& request) {
  char data[16384];
  std::size_t head = 0;
  while ((head = buffer.find("\r\n\r\n")) == std::string::npos) {
    const long got = ReadSome(fd, ssl, data, sizeof(data));
    if (got <= 0) return false;
    buffer.append(data, static_cast<std::size_t>(got));
  }
  std::size_t at = buffer.find("\r\n");
  const std::string first = buffer.substr(0, at);
  request.method = first.substr(0, first.find(' '));
  request.target = first.substr(request.method.size() + 1);
  request.target = request.target.substr(0, request.target.find(' '));
  while (at < head) {
    const std::size_t next = buffer.find("\r\n", at + 2);
    const std::string line = buffer.substr(at + 2, next - at - 2);
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos) {
      std::string name = line.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      const std::size_t value = line.find_first_not_of(' ', colon + 1);
      request.headers[name] = value == std::string::npos ? "" : line.substr(value);
    }
    at = next;
  }
  buffer.erase(0, head + 4);
  const auto length = request.headers.find("content-length");
  const std::size_t size = length == request.headers.end() ? 0 : std::strtoul(length->second.c_str(), nullptr, 10);
  while (buffer.size() < size) {
    const long got = ReadSome(fd, ssl, data, sizeof(data));
    if (got <= 0) return false;
    buffer.append(data, static_cast<std::size_t>(got));
  }
  request.body = buffer.substr(0, size);
  buffer.erase(0, size);
  return true;
}

void FakeApiServer::Serve(int fd, int number) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  SSL* ssl = nullptr;
  bool good = true;
  if (tls_ != nullptr) {
    ssl = SSL_new(tls_);
    SSL_set_fd(ssl, fd);
    good = SSL_accept(ssl) == 1;
  }
  std::string buffer;
  while (good && !stopping_) {
    FakeRequest request;
    request.connection = number;
    request.client_name = PeerName(ssl);
    if (!ReadRequest(fd, ssl, buffer, request)) break;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    Reply reply(*this, fd, ssl);
    script_(request, reply);
    good = reply.open();
  }
  SSL_free(ssl);
  const std::lock_guard lock(mutex_);
  ::close(fd);
  open_.erase(number);
}

void FakeApiServer::CutAll() {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, fd] : open_) ::shutdown(fd, SHUT_RDWR);
}

void FakeApiServer::Stop() {
  if (stopping_.exchange(true)) return;
  ::shutdown(listen_fd_, SHUT_RDWR);
  acceptor_.join();
  CutAll();
  for (std::thread& thread : threads_) thread.join();
  ::close(listen_fd_);
}

void Gate::Open() {
  const std::lock_guard lock(mutex_);
  open_ = true;
  changed_.notify_all();
}

void Gate::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return open_; });
}

void Turnstile::Pass() {
  const std::lock_guard lock(mutex_);
  ++free_;
  changed_.notify_all();
}

void Turnstile::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return free_ > 0; });
  --free_;
}

}  // namespace burstlet::kube::test
