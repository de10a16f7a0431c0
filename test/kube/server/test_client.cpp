#include "test/kube/server/test_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "kube/server/http_message.h"

namespace burstlet::kube::test {

namespace {

// With a time limit set, the kernel does not restart a call that another thread's child interrupted.
template <typename Call>
int Restart(Call call) {
  int result = 0;
  do {
    errno = 0;
    result = call();
  } while (result <= 0 && errno == EINTR);
  return result;
}

}  // namespace

TestClient::TestClient(std::uint16_t port, const CertifiedKey* identity) {
  signal(SIGPIPE, SIG_IGN);
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit = {10, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return;
  context_ = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_mode(context_, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_options(context_, SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (identity != nullptr) {
    BIO* bio = BIO_new_mem_buf(identity->cert_pem.data(), static_cast<int>(identity->cert_pem.size()));
    X509* cert = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    bio = BIO_new_mem_buf(identity->key_pem.data(), static_cast<int>(identity->key_pem.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    SSL_CTX_use_certificate(context_, cert);
    SSL_CTX_use_PrivateKey(context_, key);
    X509_free(cert);
    EVP_PKEY_free(key);
  }
  const unsigned char protocols[] = "\x02h2\x08http/1.1";
  SSL_CTX_set_alpn_protos(context_, protocols, sizeof protocols - 1);
  ssl_ = SSL_new(context_);
  SSL_set_fd(ssl_, fd_);
  connected_ = Restart([this] { return SSL_connect(ssl_); }) == 1;
}

TestClient::~TestClient() {
  if (ssl_ != nullptr) {
    if (connected_) SSL_shutdown(ssl_);
    SSL_free(ssl_);
  }
  SSL_CTX_free(context_);
  if (fd_ >= 0) close(fd_);
  ERR_clear_error();
}

void TestClient::Drop() {
  connected_ = false;
  close(fd_);
  fd_ = -1;
}

bool TestClient::Send(const std::string& bytes) {
  if (!connected_) return false;
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const int count =
        Restart([&] { return SSL_write(ssl_, bytes.data() + sent, static_cast<int>(bytes.size() - sent)); });
    if (count <= 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}

bool TestClient::Fill() {
  if (!connected_) return false;
  char buffer[16 * 1024];
  const int count = Restart([&] { return SSL_read(ssl_, buffer, sizeof buffer); });
  if (count <= 0) return false;
  input_.append(buffer, static_cast<std::size_t>(count));
  return true;
}

std::string TestClient::Receive() {
  if (input_.empty()) Fill();
  std::string out;
  out.swap(input_);
  return out;
}

std::string TestClient::ReceiveExactly(std::size_t count) {
  while (input_.size() < count && Fill()) {
  }
  const std::string out = input_.substr(0, count);
  input_.erase(0, out.size());
  return out;
}

std::string TestClient::Line() {
  std::size_t end = 0;
  while ((end = input_.find("\r\n")) == std::string::npos) {
    if (!Fill()) return "";
  }
  const std::string line = input_.substr(0, end);
  input_.erase(0, end + 2);
  return line;
}

ClientResponse TestClient::ReadHead() {
  ClientResponse response;
  const std::string status = Line();
  if (status.size() < 12) return response;
  response.status = std::atoi(status.substr(9, 3).c_str());
  for (std::string line = Line(); !line.empty(); line = Line()) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    response.headers[ToLower(line.substr(0, colon))] = line.substr(colon + 2);
  }
  return response;
}

std::string TestClient::ReadChunk() {
  const std::size_t size = std::strtoul(Line().c_str(), nullptr, 16);
  std::string data = ReceiveExactly(size);
  Line();
  return data;
}

ClientResponse TestClient::ReadResponse() {
  ClientResponse response = ReadHead();
  if (response.headers.count("transfer-encoding") != 0) {
    for (std::string chunk = ReadChunk(); !chunk.empty(); chunk = ReadChunk()) response.body += chunk;
  } else if (response.headers.count("content-length") != 0) {
    response.body = ReceiveExactly(std::strtoul(response.headers["content-length"].c_str(), nullptr, 10));
  }
  return response;
}

ClientResponse TestClient::Request(const std::string& method, const std::string& target,
                                   const std::string& extra_headers) {
  Send(method + " " + target + " HTTP/1.1\r\nHost: node\r\n" + extra_headers + "\r\n");
  return ReadResponse();
}

std::string TestClient::negotiated_protocol() const {
  const unsigned char* name = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl_, &name, &length);
  return std::string(reinterpret_cast<const char*>(name), length);
}

std::string TestClient::peer_common_name() const {
  X509* cert = SSL_get1_peer_certificate(ssl_);
  if (cert == nullptr) return "";
  char text[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, text, sizeof text);
  X509_free(cert);
  return text;
}

ClientResponse Fetch(std::uint16_t port, const CertifiedKey* identity, const std::string& method,
                     const std::string& target, const std::string& extra_headers) {
  TestClient client(port, identity);
  return client.Request(method, target, extra_headers);
}

}  // namespace burstlet::kube::test
