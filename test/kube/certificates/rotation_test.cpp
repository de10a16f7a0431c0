// Asking, waiting and renewing, against a scripted API server and with a clock that the test sets.
#include <catch2/catch.hpp>

#include "kube/certificates/certificate_manager.h"
#include "kube/certificates/signing_request.h"
#include "test/kube/certificates/signing_service.h"
#include "test/kube/fakes/loop_runner.h"

namespace burstlet::kube::test {
namespace {

using std::chrono::seconds;

CertificateSubject Node() {
  CertificateSubject subject;
  subject.common_name = "system:node:n1";
  subject.organizations = {"system:nodes"};
  return subject;
}

SigningQuestion Question() { return {kClientSigner, Node(), UsagesOf(kClientSigner)}; }

Task<absl::StatusOr<StoredCertificate>> Obtain(SigningService& service, Loop& loop, CertificateStore& store,
                                               CancelToken cancel = {}) {
  return ObtainCertificate(service.client, loop, store, Question(), std::chrono::steady_clock::now() + seconds(20),
                           cancel);
}

using Result = absl::StatusOr<StoredCertificate>;

Task<void> Store(Task<Result> task, Result& out) { out = co_await std::move(task); }

/// Obtains while the test does something once the request waits for its answer.
Task<void> ObtainAnd(SigningService& service, Loop& loop, CertificateStore& store, std::function<void()> then,
                     Result& out) {
  TaskGroup tasks(loop);
  tasks.Spawn("obtain", Store(Obtain(service, loop, store), out));
  co_await Until(loop, [&] { return !service.client.streams.empty(); });
  then();
  co_await tasks.Join();
}

TEST_CASE("a request is filed as the kubelet files it, and the answer stored", "[certificates]") {
  Loop loop;
  SigningService service(loop);
  const TempDir dir;
  CertificateStore store(dir.path(), "kubelet-client");
  Result result = absl::UnknownError("");
  REQUIRE(RunTask(loop, ObtainAnd(service, loop, store, [&] { service.Issue(service.Pending(), 3600); }, result)));
  REQUIRE(result.ok());
  const CertificateSigningRequest& filed = service.requests.begin()->second;
  CHECK(filed.spec.signerName == "kubernetes.io/kube-apiserver-client-kubelet");
  CHECK(filed.spec.usages == std::vector<std::string>{"digital signature", "client auth"});
  CHECK(store.Current()->info.subject.common_name == "system:node:n1");
  CHECK(store.Current()->info.subject.organizations == std::vector<std::string>{"system:nodes"});
}

TEST_CASE("an agent killed while it waited finds its own request and its answer", "[certificates]") {
  Loop loop;
  SigningService service(loop);
  const TempDir dir;
  CertificateStore store(dir.path(), "kubelet-client");
  Result result = absl::UnknownError("");
  // As after a kill: the waiting is over, the key is on disk.
  CancelToken killed;
  {
    TaskGroup tasks(loop);
    tasks.Spawn("killed", Store(Obtain(service, loop, store, killed), result));
    REQUIRE(RunTask(loop, Until(loop, [&] { return !service.client.streams.empty(); })));
    killed.Cancel();
    REQUIRE(RunTask(loop, tasks.Join()));
  }
  CHECK(absl::IsCancelled(result.status()));
  service.Issue(service.Pending(), 3600);
  result = Await<Result>(loop, Obtain(service, loop, store), absl::UnknownError(""));
  CHECK(result.ok());
  CHECK(service.requests.size() == 1);
}

TEST_CASE("a denied or deleted request is told, and the next try has a new key", "[certificates]") {
  Loop loop;
  SigningService service(loop);
  const TempDir dir;
  CertificateStore store(dir.path(), "kubelet-client");
  Result result = absl::UnknownError("");
  REQUIRE(RunTask(loop, ObtainAnd(service, loop, store, [&] { service.Deny(service.Pending()); }, result)));
  CHECK(absl::IsFailedPrecondition(result.status()));
  CHECK(std::string(result.status().message()).find("is denied, reason: Policy, message: not here") !=
        std::string::npos);
  REQUIRE(RunTask(loop, ObtainAnd(service, loop, store, [&] { service.Delete(service.Pending()); }, result)));
  CHECK(absl::IsFailedPrecondition(result.status()));
  REQUIRE(RunTask(loop, ObtainAnd(service, loop, store, [&] { service.Issue(service.Pending(), 60); }, result)));
  CHECK(result.ok());
  CHECK(service.requests.size() == 2);
}

/// A manager with a clock of the test's.
struct Managed {
  explicit Managed(std::optional<CertificateInfo> current = std::nullopt) {
    CertificateManagerConfig config;
    config.signer = kClientSigner;
    config.subject = [this] { return std::optional<CertificateSubject>(subject); };
    config.client = [this]() -> absl::StatusOr<Client*> { return &service.client; };
    config.on_issued = [this](const StoredCertificate&) { ++issued; };
    config.on_rotated = [this](seconds lived) { rotated_after.push_back(lived); };
    config.on_failed = [this] { ++failed; };
    config.now = [this] { return now; };
    config.retry_first = std::chrono::milliseconds(1);
    config.retry_most = std::chrono::milliseconds(4);
    manager.emplace(loop, CertificateStore(dir.path(), "kubelet-client"), std::move(config), std::move(current), false);
    manager->Start(tasks);
  }
  ~Managed() {
    manager->Stop();
    RunTask(loop, tasks.Join());
  }
  /// Lets the manager run until it has asked, and answers.
  bool IssueNext(long seconds_valid) {
    if (!RunTask(loop, Until(loop, [this] { return !service.Pending().empty() && !service.client.streams.empty(); }))) {
      return false;
    }
    const int before = issued;
    service.Issue(service.Pending(), seconds_valid);
    return RunTask(loop, Until(loop, [this, before] { return issued > before; }));
  }

  Loop loop;
  SigningService service{loop};
  const TempDir dir;
  CertificateSubject subject = Node();
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
  int issued = 0;
  int failed = 0;
  std::vector<seconds> rotated_after;
  TaskGroup tasks{loop};
  std::optional<CertificateManager> manager;
};

TEST_CASE("a certificate is asked for when there is none, and renewed before it expires", "[certificates]") {
  Managed node;
  CHECK(std::isinf(node.manager->TtlSeconds()));
  REQUIRE(node.IssueNext(1000));
  CHECK(node.manager->TtlSeconds() <= 1000);
  CHECK(node.manager->TtlSeconds() > 950);
  CHECK(node.rotated_after.empty());
  // Not before 70 % of its life.
  node.now += seconds(690);
  node.manager->Wake();
  const auto asked = node.service.client.requests.size();
  for (int pass = 0; pass < 3; ++pass)
    REQUIRE(RunTask(node.loop, SleepUntil(node.loop, std::chrono::steady_clock::now())));
  CHECK(node.service.client.requests.size() == asked);
  node.now += seconds(215);  // and always after 90 %
  node.manager->Wake();
  REQUIRE(node.IssueNext(100000));
  REQUIRE(node.rotated_after.size() == 1);
  CHECK(node.rotated_after[0] >= seconds(900));
  CHECK(node.service.requests.size() == 2);
}

TEST_CASE("tries that fail are counted and go on, with the same request once there is one", "[certificates]") {
  Managed node;
  node.service.away = true;
  REQUIRE(RunTask(node.loop, Until(node.loop, [&] { return node.failed >= 3; })));
  node.service.away = false;
  REQUIRE(node.IssueNext(1000));
  CHECK(node.service.requests.size() == 1);
}

TEST_CASE("other addresses mean another certificate, and the request for the old ones is given up", "[certificates]") {
  Managed node;
  node.subject.ip_addresses = {"10.0.0.1"};
  REQUIRE(node.IssueNext(1000));
  node.subject.ip_addresses = {"10.0.0.2"};
  node.manager->Wake();
  REQUIRE(RunTask(node.loop, Until(node.loop, [&] { return !node.service.client.streams.empty(); })));
  const std::string given_up = node.service.Pending();
  node.subject.ip_addresses = {"10.0.0.3"};
  node.manager->Wake();
  REQUIRE(RunTask(node.loop, Until(node.loop, [&] { return node.service.requests.size() == 3; })));
  node.service.requests.at(given_up).status.conditions.push_back({"Denied", "True", "", ""});
  REQUIRE(node.IssueNext(1000));
  CHECK(node.manager->current()->subject.ip_addresses == std::vector<std::string>{"10.0.0.3"});
}

TEST_CASE("a certificate that somebody else put there is taken up", "[certificates]") {
  CertificateInfo old;
  old.subject = Node();
  old.not_before = std::chrono::system_clock::now() - std::chrono::hours(10);
  old.not_after = old.not_before + std::chrono::hours(9);
  Managed node(old);
  CHECK(node.manager->TtlSeconds() < 0);
  CertificateRequest request;
  request.common_name = "system:node:n1";
  request.organizations = {"system:nodes"};
  request.not_before_seconds = 0;
  const CertifiedKey given = Issue(MakeCa("ca"), request);
  REQUIRE(CertificateStore(node.dir.path(), "kubelet-client").Update(given.cert_pem, given.key_pem).ok());
  REQUIRE(RunTask(node.loop, Until(node.loop, [&] { return node.issued == 1; })));
  CHECK(node.service.requests.empty());
  CHECK(node.manager->TtlSeconds() > 3000);
}

}  // namespace
}  // namespace burstlet::kube::test
