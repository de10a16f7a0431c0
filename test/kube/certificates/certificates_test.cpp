// Keys, requests and the store: what is on disk and what is asked, without an API server.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "kube/certificates/bootstrap.h"
#include "kube/certificates/certificate_manager.h"
#include "kube/certificates/certificate_store.h"
#include "kube/certificates/key_pair.h"
#include "test/kube/server/test_certificates.h"

namespace burstlet::kube::test {
namespace {

CertificateSubject Node(std::vector<std::string> ips = {}) {
  CertificateSubject subject;
  subject.common_name = "system:node:n1";
  subject.organizations = {"system:nodes"};
  subject.ip_addresses = std::move(ips);
  return subject;
}

CertifiedKey NodePair(long not_after = 3600) {
  CertificateRequest request;
  request.common_name = "system:node:n1";
  request.organizations = {"system:nodes"};
  request.not_before_seconds = -7200;
  request.not_after_seconds = not_after;
  return Issue(MakeCa("ca"), request);
}

TEST_CASE("the same question has the same name, another has another", "[certificates]") {
  const std::string key = *NewKey();
  const auto name = [&key](const CertificateSubject& subject) {
    return *CertificateRequestName(key, subject, {"digital signature", "server auth"});
  };
  CHECK(name(Node({"10.0.0.1"})) == name(Node({"10.0.0.1"})));
  CHECK(name(Node({"10.0.0.1"})) != name(Node({"10.0.0.2"})));
  CHECK(*CertificateRequestName(*NewKey(), Node(), {}) != *CertificateRequestName(key, Node(), {}));
  CHECK(name(Node()).rfind("node-csr-", 0) == 0);
  CHECK(name(Node()).size() == 52);  // as the kubelet's
  CHECK(absl::IsInvalidArgument(CertificateRequestName("no key", Node(), {}).status()));
}

TEST_CASE("the name of a client's request is the one that a kubelet gives it", "[certificates]") {
  // Made with digestedName of pkg/kubelet/certificate/bootstrap 1.37.2.
  const std::string key = R"(-----BEGIN EC PRIVATE KEY-----
MHcCAQEEILAGvx2Tpo2eLe3SAcQ+E6ljtQOjL2Ps3qflzHbzmQfXoAoGCCqGSM49
AwEHoUQDQgAEz6zqpDQZ0DXiKnJte3+QNxkGP9AlJWAotPlvZdfN5dL7uCD44opu
2qVHfdXSrFFDUbxwF9KD7IsonBDXtQGOdA==
-----END EC PRIVATE KEY-----
)";
  CHECK(*CertificateRequestName(key, Node(), {"digital signature", "client auth"}) ==
        "node-csr-_i8u72wOoA4-HPEJgjeMSEWj6xbO7raGcYsJqPhkor8");
}

TEST_CASE("a request knows its key, and a subject with names that mean something to OpenSSL stays as it is",
          "[certificates]") {
  const std::string key = *NewKey();
  CertificateSubject subject = Node({"10.0.0.1", "fd00::1"});
  subject.dns_names = {"n1.example,IP:9.9.9.9"};
  const auto request = MakeCertificateRequest(key, subject);
  REQUIRE(request.ok());
  CHECK(CheckRequestKey(*request, key).ok());
  CHECK(absl::IsFailedPrecondition(CheckRequestKey(*request, *NewKey())));
  CHECK(absl::IsInvalidArgument(CheckRequestKey("nothing", key)));
  CHECK(absl::IsInvalidArgument(MakeCertificateRequest(key, Node({"10.0.0"})).status()));
}

TEST_CASE("a certificate satisfies what asks for no more than it says", "[certificates]") {
  CHECK(Satisfies(Node({"10.0.0.1", "fd00:0::1"}), Node({"fd00::1"})));
  CHECK_FALSE(Satisfies(Node({"10.0.0.1"}), Node({"10.0.0.2"})));
  CertificateSubject other = Node();
  other.common_name = "system:node:n2";
  CHECK_FALSE(Satisfies(Node(), other));
}

TEST_CASE("certificates are replaced at 70 to 90 % of their life", "[certificates]") {
  CertificateInfo info;
  info.not_after = info.not_before + std::chrono::hours(100);
  CHECK(RotationTime(info, 0) == info.not_before + std::chrono::hours(70));
  CHECK(RotationTime(info, 1) == info.not_before + std::chrono::hours(90));
}

TEST_CASE("the store has the kubelet's layout, and only a pair that fits becomes current", "[certificates]") {
  const TempDir dir;
  CertificateStore store(dir.path() + "/pki", "kubelet-client");
  CHECK(absl::IsNotFound(store.Current().status()));
  const CertifiedKey first = NodePair();
  REQUIRE(store.Update(first.cert_pem, first.key_pem).ok());
  CHECK(store.CurrentPath() == dir.path() + "/pki/kubelet-client-current.pem");
  CHECK(std::filesystem::is_symlink(store.CurrentPath()));
  struct stat info{};
  REQUIRE(::stat(store.CurrentPath().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(absl::IsInvalidArgument(store.Update(first.cert_pem, NodePair().key_pem).status()));
  CHECK(store.Current()->cert_pem.find(first.cert_pem) != std::string::npos);
  CHECK(store.Current()->info.subject.common_name == "system:node:n1");
  for (int i = 0; i < 4; ++i) {
    const CertifiedKey next = NodePair();
    REQUIRE(store.Update(next.cert_pem, next.key_pem).ok());
    CHECK(store.Current()->cert_pem.find(next.cert_pem) == 0);
  }
  // The current one, the one before and the link: nothing grows.
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path() + "/pki"), {}) == 3);
}

TEST_CASE("a request's key outlives a crash, but not its answer", "[certificates]") {
  const TempDir dir;
  CertificateStore store(dir.path(), "kubelet-client");
  const std::string key = *store.PendingKey();
  CHECK(*CertificateStore(dir.path(), "kubelet-client").PendingKey() == key);
  dir.Write("kubelet-client.key.tmp", "half a k");
  const std::string fresh = *store.PendingKey();
  CHECK(fresh != key);
  REQUIRE(store.DropPendingKey().ok());
  REQUIRE(store.DropPendingKey().ok());
  CHECK(*store.PendingKey() != fresh);
  // Killed right after the pair was stored: its key is not asked with again.
  const CertifiedKey pair = NodePair();
  dir.Write("kubelet-client.key.tmp", pair.key_pem);
  REQUIRE(store.Update(pair.cert_pem, pair.key_pem).ok());
  CHECK(*store.PendingKey() != pair.key_pem);
}

TEST_CASE("a kubeconfig counts while its certificate is there, fits and has not expired", "[certificates]") {
  const auto now = std::chrono::system_clock::now();
  ClientConfig config;
  config.server = "https://127.0.0.1:1";
  config.token = "t";
  CHECK(CheckClientCertificate(config, now).message() == "it has no client certificate");
  const CertifiedKey pair = NodePair();
  config.cert_data = pair.cert_pem;
  config.key_data = pair.key_pem;
  CHECK(CheckClientCertificate(config, now).ok());
  CHECK(CheckClientCertificate(config, now + std::chrono::hours(2)).message() == "its client certificate has expired");
  config.key_data = NodePair().key_pem;
  CHECK_FALSE(CheckClientCertificate(config, now).ok());
  config.cert_data.clear();
  config.cert_file = "/nonexistent/cert.pem";
  CHECK(absl::IsNotFound(CheckClientCertificate(config, now)));
}

TEST_CASE("the written kubeconfig has the cluster of the bootstrap one, without its token", "[certificates]") {
  ClientConfig bootstrap;
  bootstrap.server = "https://[fd00::1]:6443";
  bootstrap.ca_data = "-----BEGIN CERTIFICATE-----\n\"quoted\": # x\n";
  bootstrap.tls_server_name = "api.example";
  bootstrap.proxy_url = "http://proxy:3128";
  bootstrap.token = "secret";
  const std::string text = BootstrappedKubeconfig(bootstrap, "/var/lib/b: x/pki/kubelet-client-current.pem");
  CHECK(text.find("secret") == std::string::npos);
  const auto parsed = ParseKubeconfig(text, "");
  REQUIRE(parsed.ok());
  CHECK(parsed->server == bootstrap.server);
  CHECK(parsed->ca_data == bootstrap.ca_data);
  CHECK(parsed->tls_server_name == "api.example");
  CHECK(parsed->proxy_url == "http://proxy:3128");
  CHECK(parsed->cert_file == "/var/lib/b: x/pki/kubelet-client-current.pem");
  CHECK(parsed->key_file == parsed->cert_file);
}

}  // namespace
}  // namespace burstlet::kube::test
