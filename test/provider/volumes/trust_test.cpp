// Trust bundles and pods' certificates against a scripted API server.
#include <catch2/catch.hpp>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/json.h"
#include "kube/pem.h"
#include "provider/volumes/payload.h"
#include "provider/volumes/pod_certificates.h"
#include "provider/volumes/trust_bundles.h"
#include "test/kube/fakes/loop_runner.h"
#include "test/kube/fakes/scripted_client.h"
#include "test/provider/fakes/fake_sources.h"

namespace burstlet::provider {
namespace {

using kube::test::Await;
using kube::test::ScriptedClient;
using kube::test::ScriptedRequest;

std::string Pem(const std::string& der) { return kube::CertificatesPem({der}); }

std::string Bundle(const std::string& name, const std::string& signer, const std::string& label,
                   const std::string& text) {
  kube::ClusterTrustBundle bundle;
  bundle.metadata.name = name;
  bundle.spec.signerName = signer;
  bundle.spec.trustBundle = text;
  if (!label.empty()) bundle.metadata.labels["use"] = label;
  return kube::Encode(bundle);
}

std::string List(const std::string& items) {
  return absl::StrCat(R"({"metadata":{"resourceVersion":"1"},"items":[)", items, "]}");
}

std::string Line(const std::string& type, const std::string& object) {
  return absl::StrCat(R"({"type":")", type, R"(","object":)", object, "}");
}

kube::LabelSelector Selector(const std::string& key, const std::string& op, std::vector<std::string> values) {
  kube::LabelSelector selector;
  selector.matchExpressions.push_back({key, op, std::move(values)});
  return selector;
}

kube::Pod CertificatePod(const std::string& key_type = "ED25519") {
  kube::Pod pod;
  pod.metadata.name = "web";
  pod.metadata.namespace_ = "shop";
  pod.metadata.uid = "u1";
  pod.spec.serviceAccountName = "cook";
  kube::Volume volume;
  volume.name = "id";
  volume.projected.emplace();
  volume.projected->sources.resize(2);
  volume.projected->sources[0].downwardAPI.emplace();
  kube::PodCertificateProjection source;
  source.signerName = "example.com/s";
  source.keyType = key_type;
  source.maxExpirationSeconds = 86400;
  source.userAnnotations["a"] = "b";
  source.credentialBundlePath = "bundle";
  source.keyPath = "key";
  volume.projected->sources[1].podCertificate = source;
  pod.spec.volumes.push_back(volume);
  return pod;
}

/// An API server that keeps requests for certificates, and a signer that answers as the test says.
struct Cluster {
  kube::Loop loop;
  kube::WorkerPool pool{1};
  std::vector<kube::PodCertificateRequest> made;
  int refuse_account = 0;  // so many times 403 first
  bool visible = true;     // what is made can be seen
  ScriptedClient client{loop, [this](const ScriptedRequest& request) { return Serve(request); }};
  test::FakeEvents events;
  kube::TaskGroup tasks{loop};
  std::vector<std::string> changed;
  PodCertificates certificates{client, loop, pool, tasks, events, Settings()};

  Cluster() {
    certificates.OnChange([this](const std::string& uid) { changed.push_back(uid); });
  }
  ~Cluster() { certificates.Forget("u1"); }

  static PodCertificatesConfig Settings() {
    PodCertificatesConfig config;
    config.node_name = "n1";
    config.node_uid = [] { return std::string("node-uid"); };
    config.jitter = std::chrono::milliseconds(0);
    config.assume_deleted = std::chrono::milliseconds(50);
    config.first_answer = std::chrono::milliseconds(300);
    return config;
  }

  absl::StatusOr<kube::Response> Serve(const ScriptedRequest& request) {
    if (absl::StrContains(request.path, "/serviceaccounts/cook")) {
      if (refuse_account-- > 0) return absl::PermissionDeniedError("no relationship found");
      return kube::Response{200, R"({"metadata":{"name":"cook","uid":"account-uid"}})"};
    }
    if (request.method == "GET") return kube::Response{200, List(Visible())};
    auto made_now = kube::Decode<kube::PodCertificateRequest>(request.body);
    REQUIRE(made_now.ok());
    made_now->metadata.name = absl::StrCat("req-", made.size());
    made.push_back(*made_now);
    const std::string line = Line("ADDED", kube::Encode(*made_now));
    if (visible) loop.Post([this, line] { client.Push("podcertificaterequests", line); });
    return kube::Response{201, kube::Encode(*made_now)};
  }

  std::string Visible() const {
    std::string items;
    for (std::size_t i = 0; visible && i < made.size(); ++i) {
      absl::StrAppend(&items, i == 0 ? "" : ",", kube::Encode(made[i]));
    }
    return items;
  }

  void Say(std::size_t index, const std::string& type, std::chrono::seconds refresh_in = std::chrono::hours(1)) {
    kube::PodCertificateRequest request = made.at(index);
    request.status.conditions.push_back({type, "True", "Why", "because"});
    const auto now =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch());
    request.status.certificateChain = absl::StrCat("text\n", Pem(absl::StrCat("cert-", index)));
    request.status.beginRefreshAt = kube::Time{(now + refresh_in).count()};
    request.status.notAfter = kube::Time{(now + std::chrono::hours(24)).count()};
    client.Push("podcertificaterequests", Line("MODIFIED", kube::Encode(request)));
  }

  bool Until(std::function<bool()> condition) {
    return kube::test::RunTask(loop, kube::test::Until(loop, std::move(condition)));
  }
  absl::StatusOr<CredentialBundle> Get() {
    return Await<absl::StatusOr<CredentialBundle>>(
        loop, certificates.Get(std::make_shared<const kube::Pod>(CertificatePod()), {"id", 1}),
        absl::InternalError("none"));
  }
  void Track() { certificates.Track(std::make_shared<const kube::Pod>(CertificatePod())); }
};

}  // namespace

TEST_CASE("label selectors choose as Kubernetes does", "[trust]") {
  const std::map<std::string, std::string> labels{{"a", "1"}, {"b", ""}};
  CHECK(*SelectorMatches({}, labels));
  CHECK(*SelectorMatches({{{"a", "1"}}, {}}, labels));
  CHECK_FALSE(*SelectorMatches({{{"a", "2"}}, {}}, labels));
  CHECK(*SelectorMatches(Selector("a", "In", {"0", "1"}), labels));
  CHECK_FALSE(*SelectorMatches(Selector("c", "In", {"1"}), labels));
  CHECK(*SelectorMatches(Selector("c", "NotIn", {"1"}), labels));
  CHECK_FALSE(*SelectorMatches(Selector("a", "NotIn", {"1"}), labels));
  CHECK(*SelectorMatches(Selector("b", "Exists", {}), labels));
  CHECK_FALSE(*SelectorMatches(Selector("b", "DoesNotExist", {}), labels));
  CHECK_FALSE(SelectorMatches(Selector("a", "Like", {}), labels).ok());
}

TEST_CASE("anchors of several bundles come once each and without what is between them", "[trust]") {
  const std::string one = Pem("one");
  const std::string two = Pem("two");
  const std::string merged = NormalizedAnchors({"comment\n" + two + one, one});
  CHECK(kube::PemBlocks(merged) == std::vector<std::string>{"one", "two"});
  CHECK(merged == one + two);
  CHECK(NormalizedAnchors({"nothing here"}).empty());
}

TEST_CASE("trust bundles are found by name and by signer, and changes are told", "[trust]") {
  kube::Loop loop;
  ScriptedClient client(loop, [](const ScriptedRequest& request) -> absl::StatusOr<kube::Response> {
    CHECK(absl::StrContains(request.path, "/apis/certificates.k8s.io/v1/clustertrustbundles"));
    return kube::Response{
        200, List(absl::StrCat(Bundle("plain", "", "", Pem("one")), ",", Bundle("a:b:1", "a/b", "yes", Pem("two")), ",",
                               Bundle("a:b:2", "a/b", "no", Pem("three"))))};
  });
  kube::TaskGroup tasks(loop);
  TrustBundles trust(client, loop, tasks);
  std::vector<std::string> changed;
  trust.OnChange([&](const std::string& uid) { changed.push_back(uid); });
  trust.Acquire("u1");
  trust.Acquire("u2");
  trust.Release("u2");
  const auto get = [&](TrustKey key) {
    return Await<absl::StatusOr<std::string>>(loop, trust.Get(std::move(key)), absl::InternalError("none"));
  };
  CHECK(get({"plain", "", ""}).value() == Pem("one"));
  CHECK(get({"", "a/b", R"({"matchLabels":{"use":"yes"}})"}).value() == Pem("two"));
  CHECK(kube::PemBlocks(get({"", "a/b", "{}"}).value()).size() == 2);
  CHECK(absl::IsNotFound(get({"", "a/b", ""}).status()));  // no selector matches nothing
  CHECK(get({"gone", "", ""}).status().message() ==
        "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"gone\" not found");
  CHECK(changed == std::vector<std::string>{"u1"});
  REQUIRE(kube::test::RunTask(loop, kube::test::Until(loop, [&] { return client.streams.size() == 1; })));
  client.Push("clustertrustbundles", Line("ADDED", Bundle("gone", "", "", Pem("four"))));
  client.Push("clustertrustbundles", Line("DELETED", Bundle("plain", "", "", "")));
  REQUIRE(kube::test::RunTask(loop, kube::test::Until(loop, [&] { return changed.size() == 3; })));
  CHECK(get({"gone", "", ""}).value() == Pem("four"));
  CHECK(absl::IsNotFound(get({"plain", "", ""}).status()));
}

TEST_CASE("a key of each type proves itself", "[trust]") {
  for (const char* type : {"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"}) {
    INFO(type);
    const auto pair = kube::MakeKeyAndProof(type);
    REQUIRE(pair.ok());
    CHECK(absl::StartsWith(pair->key_pem, "-----BEGIN PRIVATE KEY-----"));
    const auto* data = reinterpret_cast<const unsigned char*>(pair->request_der.data());
    X509_REQ* request = d2i_X509_REQ(nullptr, &data, static_cast<long>(pair->request_der.size()));
    REQUIRE(request != nullptr);
    CHECK(X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) == 1);
    CHECK(X509_NAME_entry_count(X509_REQ_get_subject_name(request)) == 0);
    X509_REQ_free(request);
  }
  CHECK_FALSE(kube::MakeKeyAndProof("DSA").ok());
}

TEST_CASE("a pod's certificate is asked for in its name and handed out once it is issued", "[trust]") {
  Cluster cluster;
  cluster.refuse_account = 2;  // the authorizer lags
  cluster.Track();
  REQUIRE(cluster.Until([&] { return cluster.made.size() == 1; }));
  const kube::PodCertificateRequest& request = cluster.made[0];
  CHECK(request.metadata.namespace_ == "shop");
  CHECK(request.metadata.generateName == "req-");
  CHECK(request.metadata.ownerReferences.at(0).uid == "u1");
  CHECK(request.spec.signerName == "example.com/s");
  CHECK(request.spec.podName == "web");
  CHECK(request.spec.podUID == "u1");
  CHECK(request.spec.serviceAccountName == "cook");
  CHECK(request.spec.serviceAccountUID == "account-uid");
  CHECK(request.spec.nodeName == "n1");
  CHECK(request.spec.nodeUID == "node-uid");
  CHECK(request.spec.maxExpirationSeconds == 86400);
  CHECK(request.spec.unverifiedUserAnnotations.at("a") == "b");
  CHECK_FALSE(request.spec.stubPKCS10Request.data.empty());
  REQUIRE(cluster.Until([&] { return cluster.client.streams.size() == 1; }));
  CHECK(absl::StrContains(cluster.client.streams.begin()->second.path, "fieldSelector=spec.nodeName%3Dn1"));

  CHECK(cluster.Get().status().message() == "credential bundle is not issued yet");
  cluster.Say(0, "Issued");
  const auto bundle = cluster.Get();
  REQUIRE(bundle.ok());
  CHECK(bundle->chain_pem == Pem("cert-0"));
  CHECK(absl::StartsWith(bundle->key_pem, "-----BEGIN PRIVATE KEY-----"));
  CHECK(cluster.changed == std::vector<std::string>{"u1"});
}

TEST_CASE("a certificate is renewed when the signer says so, and the old one serves until then", "[trust]") {
  Cluster cluster;
  cluster.Track();
  REQUIRE(cluster.Until([&] { return cluster.made.size() == 1 && cluster.client.streams.size() == 1; }));
  cluster.Say(0, "Issued", std::chrono::seconds(0));
  REQUIRE(cluster.Until([&] { return cluster.made.size() == 2; }));
  CHECK(cluster.Get()->chain_pem == Pem("cert-0"));
  cluster.Say(1, "Issued");
  REQUIRE(cluster.Until([&] { return cluster.changed.size() == 2; }));
  CHECK(cluster.Get()->chain_pem == Pem("cert-1"));
  CHECK(cluster.made[0].spec.stubPKCS10Request.data != cluster.made[1].spec.stubPKCS10Request.data);
}

TEST_CASE("a refused certificate is refused for good, with an event", "[trust]") {
  const std::string condition = GENERATE(as<std::string>{}, "Denied", "Failed");
  Cluster cluster;
  cluster.Track();
  REQUIRE(cluster.Until([&] { return cluster.made.size() == 1 && cluster.client.streams.size() == 1; }));
  cluster.Say(0, condition);
  REQUIRE(cluster.Until([&] { return !cluster.changed.empty(); }));
  CHECK(cluster.Get().status().message() == absl::StrCat("PodCertificateRequest was permanently ",
                                                         condition == "Denied" ? "denied" : "failed",
                                                         ": reason=\"Why\" message=\"because\""));
  CHECK(cluster.events.Has(condition));
  CHECK(cluster.made.size() == 1);
}

TEST_CASE("a request that nobody sees any more is made again", "[trust]") {
  Cluster cluster;
  cluster.visible = false;
  cluster.Track();
  REQUIRE(cluster.Until([&] { return cluster.made.size() == 2; }));
  cluster.certificates.Forget("u1");
}

TEST_CASE("certificates and anchors become files with the modes of secrets", "[trust]") {
  kube::Pod pod = CertificatePod();
  pod.spec.containers.resize(1);
  pod.spec.containers[0].securityContext.emplace();
  pod.spec.containers[0].securityContext->runAsUser = 7;
  kube::Volume& volume = pod.spec.volumes[0];
  volume.projected->defaultMode = 0644;
  volume.projected->sources.emplace_back();
  kube::ClusterTrustBundleProjection anchors;
  anchors.name = "ca";
  anchors.path = "ca.pem";
  volume.projected->sources[2].clusterTrustBundle = anchors;
  VolumeObjectsSnapshot objects;
  objects.certificates.emplace(CertificateKey{"id", 1}, CredentialBundle{"KEY\n", "CHAIN\n"});
  objects.anchors.emplace(TrustKey{"ca", "", ""}, std::string("ANCHOR\n"));
  const auto payload = VolumePayload(pod, volume, objects, {}, {});
  REQUIRE(payload.ok());
  CHECK(payload->at("bundle").data == "KEY\nCHAIN\n");
  CHECK(payload->at("key").data == "KEY\n");
  CHECK(payload->at("ca.pem").data == "ANCHOR\n");
  CHECK(payload->count("") == 0);
  for (const auto& [path, file] : *payload) {
    CHECK(file.mode == 0600);
    CHECK(file.uid == 7);
  }
}

TEST_CASE("anchors that are not there are an error unless they are optional", "[trust]") {
  kube::Pod pod;
  kube::Volume volume;
  volume.name = "trust";
  volume.projected.emplace();
  volume.projected->sources.resize(1);
  kube::ClusterTrustBundleProjection anchors;
  anchors.signerName = "a/b";
  anchors.path = "ca.pem";
  VolumeObjectsSnapshot objects;
  objects.anchors.emplace(KeyOf(anchors), absl::NotFoundError("matched zero ClusterTrustBundles"));
  volume.projected->sources[0].clusterTrustBundle = anchors;
  CHECK(VolumePayload(pod, volume, objects, {}, {}).status().message() == "matched zero ClusterTrustBundles");
  volume.projected->sources[0].clusterTrustBundle->optional = true;
  const auto payload = VolumePayload(pod, volume, objects, {}, {});
  REQUIRE(payload.ok());
  CHECK(payload->at("ca.pem").data.empty());
  // An API server that says nothing is another matter.
  objects.anchors.begin()->second = absl::UnavailableError("not yet synced");
  CHECK_FALSE(VolumePayload(pod, volume, objects, {}, {}).ok());
}

}  // namespace burstlet::provider
