// Kubeconfig files, proxies, and credentials that change on disk.
#include "kube/credentials.h"

#include <catch2/catch.hpp>

#include "kube/async/signal_event.h"
#include "test/kube/server/test_certificates.h"

namespace burstlet::kube::test {
namespace {

constexpr char kKubeconfig[] = R"(
apiVersion: v1
kind: Config
current-context: n1
contexts:
- name: other
  context: {cluster: x, user: y}
- name: n1
  context: {cluster: local, user: node}
clusters:
- name: local
  cluster:
    server: https://10.0.0.1:6443/
    certificate-authority-data: Q0E=
    tls-server-name: kubernetes
    proxy-url: http://proxy.test:3128
users:
- name: node
  user:
    client-certificate: pki/n1.crt
    client-key: /etc/n1.key
)";

std::string ErrorOf(const std::string& text) { return std::string(ParseKubeconfig(text, "").status().message()); }

std::string Replace(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

TEST_CASE("the current context of a kubeconfig is read", "[credentials]") {
  const auto config = ParseKubeconfig(kKubeconfig, "/etc/burstlet");
  REQUIRE(config.ok());
  CHECK(config->server == "https://10.0.0.1:6443");
  CHECK(config->ca_data == "CA");
  CHECK(config->cert_file == "/etc/burstlet/pki/n1.crt");
  CHECK(config->key_file == "/etc/n1.key");
  CHECK(config->tls_server_name == "kubernetes");
  CHECK(config->proxy_url == "http://proxy.test:3128");
  CHECK_FALSE(config->insecure_skip_verify);
}

TEST_CASE("a kubeconfig that cannot be used names the field", "[credentials]") {
  const std::string good = kKubeconfig;
  CHECK(ErrorOf("a: [").find("kubeconfig: ") == 0);
  CHECK(ErrorOf("[]") == "kubeconfig: expected a mapping");
  CHECK(ErrorOf(Replace(good, "current-context: n1", "current-context: n2")) ==
        "kubeconfig: contexts has no context \"n2\"");
  CHECK(ErrorOf(Replace(good, "cluster: local", "cluster: remote")) ==
        "kubeconfig: clusters has no cluster \"remote\"");
  CHECK(ErrorOf(Replace(good, "https://10.0.0.1:6443/", "10.0.0.1")) ==
        "kubeconfig: clusters[local].cluster.server: expected an https:// address");
  CHECK(ErrorOf(Replace(good, "Q0E=", "'%%%'")) ==
        "kubeconfig: clusters[local].cluster.certificate-authority-data: expected base64");
  CHECK(ErrorOf(Replace(good, "client-key: /etc/n1.key", "token: t")) ==
        "kubeconfig: users[node].user: a client certificate and its key belong together");
  CHECK(ErrorOf(Replace(good, "client-key: /etc/n1.key", "exec: {command: x}")) ==
        "kubeconfig: users[node].user.exec: not supported");
}

TEST_CASE("proxies follow the environment's rules", "[credentials]") {
  std::map<std::string, std::string> env{
      {"HTTPS_PROXY", "proxy.test:3128"},
      {"http_proxy", "http://plain.test:80"},
      {"NO_PROXY", "example.com, .sub.test,10.0.0.0/8,fd00::/8,host.test:6443,192.0.2.7"}};
  const auto get = [&env](const char* name) { return env[name]; };
  const auto proxy = [&get](const std::string& server) { return ProxyFor(server, "", get); };
  CHECK(proxy("https://api.test") == "http://proxy.test:3128");
  CHECK(proxy("http://api.test") == "http://plain.test:80");
  CHECK(ProxyFor("https://localhost", "http://given.test", get) == "http://given.test");
  for (const char* direct :
       {"https://example.com", "https://a.EXAMPLE.com:443", "https://x.sub.test", "https://10.2.3.4",
        "https://[fd00::5]:6443", "https://host.test:6443", "https://localhost:1", "https://127.0.0.9", "https://[::1]",
        "https://192.0.2.7:8443/path"}) {
    INFO(direct);
    CHECK(proxy(direct).empty());
  }
  for (const char* through : {"https://sub.test", "https://notexample.com", "https://11.0.0.1", "https://host.test:443",
                              "https://192.0.2.8"}) {
    INFO(through);
    CHECK(proxy(through) == "http://proxy.test:3128");
  }
  env["NO_PROXY"] = "*";
  CHECK(proxy("https://api.test").empty());
}

TEST_CASE("credentials follow their files, and survive a file that is gone", "[credentials]") {
  const TempDir dir;
  ClientConfig config;
  config.token = "fallback";
  config.token_file = dir.Write("token", "one\n");
  config.ca_file = dir.Write("ca", "CA1");
  Credentials credentials(config);
  REQUIRE(credentials.Refresh().ok());
  CHECK(credentials.material().token == "one");
  CHECK(credentials.material().ca == "CA1");
  CHECK(credentials.tls_generation() == 1);

  // At most one look a second, so that a burst of requests does not stat for each.
  dir.Write("token", "two");
  REQUIRE(credentials.Refresh().ok());
  CHECK(credentials.material().token == "one");
  credentials.LookNow();
  REQUIRE(credentials.Refresh().ok());
  CHECK(credentials.material().token == "two");
  CHECK(credentials.tls_generation() == 1);

  dir.Write("ca", "CA-new");
  credentials.LookNow();
  REQUIRE(credentials.Refresh().ok());
  CHECK(credentials.tls_generation() == 2);

  CHECK(::remove(config.ca_file.c_str()) == 0);
  credentials.LookNow();
  REQUIRE(credentials.Refresh().ok());
  CHECK(credentials.material().ca == "CA-new");
}

}  // namespace
}  // namespace burstlet::kube::test
