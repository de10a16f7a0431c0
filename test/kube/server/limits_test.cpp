// TLS versions and suites by configuration, certificates swapped in, and clients that hold connections.
#include <openssl/ssl.h>
#include <poll.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <memory>

#include "kube/server/tls_options.h"
#include "test/kube/server/test_node.h"

namespace burstlet::kube::test {
namespace {

/// "TLSv1.3 TLS_AES_256_GCM_SHA384" of a handshake by a client that speaks at most `version` and (up to TLS 1.2) offers
/// `suites`; "" when none came about.
std::string Negotiated(std::uint16_t port, int version, const char* suites = "DEFAULT") {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context.get(), version);
  SSL_CTX_set_cipher_list(context.get(), (std::string(suites) + ":@SECLEVEL=0").c_str());
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new_ssl_connect(context.get()), BIO_free_all);
  BIO_set_conn_hostname(bio.get(), ("127.0.0.1:" + std::to_string(port)).c_str());
  if (BIO_do_connect(bio.get()) != 1 || BIO_do_handshake(bio.get()) != 1) return "";
  SSL* ssl = nullptr;
  BIO_get_ssl(bio.get(), &ssl);
  return std::string(SSL_get_version(ssl)) + " " + SSL_get_cipher_name(ssl);
}

TEST_CASE("TLS 1.2 is the least by default, and configuration says otherwise", "[limits]") {
  TestNode standard;
  standard.Start();
  CHECK(Negotiated(standard.port(), TLS1_1_VERSION).empty());
  CHECK(Negotiated(standard.port(), TLS1_2_VERSION).rfind("TLSv1.2 ECDHE-ECDSA-", 0) == 0);
  CHECK(Negotiated(standard.port(), TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA").empty());
  CHECK(Negotiated(standard.port(), TLS1_3_VERSION).rfind("TLSv1.3 ", 0) == 0);
  TestNode newest;
  newest.Start([](KubeletServerConfig& config, KubeletHandlers&) { config.tls_min_version = "VersionTLS13"; });
  CHECK(Negotiated(newest.port(), TLS1_2_VERSION).empty());
  CHECK(Negotiated(newest.port(), TLS1_3_VERSION).rfind("TLSv1.3 ", 0) == 0);
  TestNode old;
  old.Start([](KubeletServerConfig& config, KubeletHandlers&) {
    config.tls_min_version = "VersionTLS10";
    config.tls_cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"};
  });
  CHECK(Negotiated(old.port(), TLS1_1_VERSION) == "TLSv1.1 ECDHE-ECDSA-AES128-SHA");
}

TEST_CASE("only the configured suites are spoken", "[limits]") {
  TestNode one;
  one.Start([](KubeletServerConfig& config, KubeletHandlers&) {
    config.tls_cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"};
  });
  CHECK(Negotiated(one.port(), TLS1_2_VERSION) == "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384");
  CHECK(Negotiated(one.port(), TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256").empty());
  TestNode none;
  none.Start(
      [](KubeletServerConfig& config, KubeletHandlers&) { config.tls_cipher_suites = {"TLS_AES_128_GCM_SHA256"}; });
  CHECK(Negotiated(none.port(), TLS1_2_VERSION).empty());
  CHECK_FALSE(Negotiated(none.port(), TLS1_3_VERSION).empty());
}

TEST_CASE("names of versions and suites that are none are told as the kubelet tells them", "[limits]") {
  CHECK(TlsMinVersion("TLS12").status().message() == "unknown tls version \"TLS12\"");
  CHECK(TlsCipherList({"TLS_WITH_LUCK"}).status().message() ==
        "Cipher suite TLS_WITH_LUCK not supported or doesn't exist");
  CHECK(*TlsCipherList({"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"}) == "ECDHE-RSA-CHACHA20-POLY1305");
}

TEST_CASE("a certificate is swapped in while connections stay", "[limits]") {
  TestNode node;
  node.Start([](KubeletServerConfig& config, KubeletHandlers&) {
    CertificateRequest request;
    request.common_name = "self-made";
    request.server = true;
    const CertifiedKey own = Issue(MakeCa("self"), request);
    config.tls_cert_file.clear();
    config.tls_key_file.clear();
    config.tls_cert_pem = own.cert_pem;
    config.tls_key_pem = own.key_pem;
  });
  TestClient before(node.port(), node.admin());
  CHECK(before.peer_common_name() == "self-made");
  CertificateRequest request;
  request.common_name = "issued";
  request.server = true;
  const CertifiedKey issued = Issue(node.ca(), request);
  CHECK(absl::IsInvalidArgument(node.server().UseCertificate(issued.cert_pem, MakeCa("x").key_pem)));
  CHECK(TestClient(node.port(), node.admin()).peer_common_name() == "self-made");
  REQUIRE(node.server().UseCertificate(issued.cert_pem, issued.key_pem).ok());
  CHECK(TestClient(node.port(), node.admin()).peer_common_name() == "issued");
  CHECK(before.Request("GET", "/healthz").status == 200);
}

TEST_CASE("a request that drips is cut, however it drips", "[limits]") {
  TestNode node;
  node.Start(
      [](KubeletServerConfig& config, KubeletHandlers&) { config.request_timeout = std::chrono::milliseconds(300); });
  // The head never ends; the head is whole and the body never is.
  for (const std::string& start : {std::string("GET /healthz HTTP/1.1\r\nX: "),
                                   std::string("POST /pods HTTP/1.1\r\nHost: n\r\nContent-Length: 60000\r\n\r\n")}) {
    TestClient client(node.port(), node.admin());
    REQUIRE(client.Send(start));
    // A byte every 10 ms for as long as it takes: each would have bought more time.
    pollfd readable{client.fd(), POLLIN, 0};
    while (::poll(&readable, 1, 10) == 0 && client.Send("x")) {
    }
    std::string got;
    for (std::string bytes = client.Receive(); !bytes.empty(); bytes = client.Receive()) got += bytes;
    CHECK(got.rfind("HTTP/1.1 408 ", 0) == 0);
  }
  CHECK(Fetch(node.port(), node.admin(), "GET", "/healthz").status == 200);
}

TEST_CASE("strangers that hold every connection keep nobody out", "[limits]") {
  TestNode node;
  node.Start([](KubeletServerConfig& config, KubeletHandlers&) { config.max_connections = 4; });
  TestClient known(node.port(), node.admin());
  CHECK(known.Request("GET", "/healthz").status == 200);
  std::vector<std::unique_ptr<TestClient>> strangers;
  for (int i = 0; i < 12; ++i) strangers.push_back(std::make_unique<TestClient>(node.port(), nullptr));
  CHECK(Fetch(node.port(), node.admin(), "GET", "/healthz").status == 200);
  // The client that showed who it is was not the one to go.
  CHECK(known.Request("GET", "/healthz").status == 200);
}

TEST_CASE("with AlwaysAllow whoever is authenticated may do all, and nobody else", "[limits]") {
  TestNode node;
  node.Start([](KubeletServerConfig& config, KubeletHandlers&) { config.always_allow = true; });
  CHECK(Fetch(node.port(), nullptr, "GET", "/pods").status == 401);
  CHECK(Fetch(node.port(), nullptr, "GET", "/pods", "Authorization: Bearer good-nobody\r\n").status == 200);
  CHECK(node.access_reviews() == 0);
}

}  // namespace
}  // namespace burstlet::kube::test
