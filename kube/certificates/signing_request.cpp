#include "kube/certificates/signing_request.h"

#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kube/api/certificates.h"
#include "kube/async/offload.h"
#include "kube/async/signal_event.h"
#include "kube/async/task_group.h"
#include "kube/backoff.h"
#include "kube/client_status.h"
#include "kube/json.h"
#include "kube/watch_stream.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

constexpr char kPath[] = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
constexpr std::chrono::milliseconds kRetryFirst{200};
constexpr std::chrono::milliseconds kRetryMost{10'000};

/// The certificate when it is there, nothing while it is not, an error when it never will be.
absl::StatusOr<std::string> IssuedCertificate(const CertificateSigningRequest& request) {
  bool approved = false;
  for (const CertificateSigningRequestCondition& condition : request.status.conditions) {
    const bool denied = condition.type == "Denied";
    if (denied || condition.type == "Failed") {
      return absl::FailedPreconditionError(
          absl::StrCat("certificate signing request ", request.metadata.name, denied ? " is denied" : " failed",
                       ", reason: ", condition.reason, ", message: ", condition.message));
    }
    approved = approved || condition.type == "Approved";
  }
  if (!approved || request.status.certificate.empty()) return std::string();
  std::string pem;
  if (!absl::Base64Unescape(request.status.certificate, &pem)) {
    return absl::FailedPreconditionError(absl::StrCat(request.metadata.name, ": status.certificate is not base64"));
  }
  return pem;
}

Task<absl::StatusOr<CertificateSigningRequest>> Send(Client& client, std::string method, std::string path,
                                                     std::string body) {
  auto response =
      co_await client.Do(method, path, body.empty() ? "" : "application/json", body, std::chrono::milliseconds(0));
  if (!response.ok()) co_return response.status();
  CO_RETURN_IF_ERROR(StatusOfResponse(response->code, response->body, std::chrono::milliseconds(0)));
  co_return Decode<CertificateSigningRequest>(response->body);
}

Task<absl::StatusOr<CertificateSigningRequest>> Fetch(Client& client, std::string name) {
  auto request = co_await Send(client, "GET", absl::StrCat(kPath, "/", name), "");
  if (absl::IsNotFound(request.status())) {
    co_return absl::FailedPreconditionError(absl::StrCat("certificate signing request ", name, " was deleted"));
  }
  co_return request;
}

/// Files the request, or finds it when an agent before has.
Task<absl::StatusOr<CertificateSigningRequest>> File(Client& client, SigningQuestion question, std::string key_pem) {
  CertificateSigningRequest request;
  request.apiVersion = "certificates.k8s.io/v1";
  request.kind = "CertificateSigningRequest";
  CO_ASSIGN_OR_RETURN(request.metadata.name, CertificateRequestName(key_pem, question.subject, question.usages));
  CO_ASSIGN_OR_RETURN(const std::string pem, MakeCertificateRequest(key_pem, question.subject));
  request.spec.request = absl::Base64Escape(pem);
  request.spec.signerName = question.signer;
  request.spec.usages = question.usages;
  auto filed = co_await Send(client, "POST", kPath, Encode(request));
  if (!absl::IsAlreadyExists(filed.status())) {
    if (filed.ok()) Info("Asked for a certificate", {{"csr", request.metadata.name}, {"signer", question.signer}});
    co_return filed;
  }
  auto found = co_await Fetch(client, request.metadata.name);
  if (!found.ok()) co_return found;
  std::string theirs;
  if (!absl::Base64Unescape(found->spec.request, &theirs) || found->spec.signerName != question.signer) {
    co_return absl::FailedPreconditionError(absl::StrCat(request.metadata.name, " is another request"));
  }
  CO_RETURN_IF_ERROR(CheckRequestKey(theirs, key_pem));
  Info("Found the request of an agent before", {{"csr", request.metadata.name}});
  co_return found;
}

/// Shared by the lines of the watch of one request.
struct Answer {
  explicit Answer(std::string wanted_uid) : uid(std::move(wanted_uid)) {}
  const std::string uid;
  std::optional<absl::StatusOr<std::string>> result;
  CancelToken done;

  void Look(std::string_view type, const std::string& object) {
    const auto request = Decode<CertificateSigningRequest>(object);
    if (!request.ok()) return LogIfError(request.status(), "Certificate signing request not readable");
    if (type == "DELETED" || request->metadata.uid != uid) {
      result = absl::FailedPreconditionError(
          absl::StrCat("certificate signing request ", request->metadata.name, " was deleted"));
    } else {
      auto issued = IssuedCertificate(*request);
      if (issued.ok() && issued->empty()) return;
      result = std::move(issued);
    }
    done.Cancel();
  }
};

Task<void> CancelAt(Loop& loop, SteadyTime deadline, CancelToken over, CancelToken target) {
  SignalEvent ended(loop);
  const auto registration = over.OnCancel([&ended] { ended.Set(); });
  co_await ended.WaitUntil(deadline);
  over.Forget(registration);
  target.Cancel();
}

Task<absl::StatusOr<std::string>> WaitForCertificate(Client& client, Loop& loop, CertificateSigningRequest request,
                                                     SteadyTime deadline, CancelToken cancel) {
  const std::string name = request.metadata.name;
  const auto answer = std::make_shared<Answer>(request.metadata.uid);
  // Whichever comes first ends the watch: the answer, the deadline, the owner.
  const std::uint64_t chained = cancel.OnCancel([answer] { answer->done.Cancel(); });
  TaskGroup timer(loop);
  timer.Spawn("limit of a certificate request", CancelAt(loop, deadline, answer->done, answer->done));
  Backoff backoff(kRetryFirst, kRetryMost);
  auto current = absl::StatusOr<CertificateSigningRequest>(std::move(request));
  while (!answer->done.cancelled()) {
    if (current.ok()) {
      answer->Look(current->metadata.uid == answer->uid ? "MODIFIED" : "DELETED", Encode(*current));
      if (answer->done.cancelled()) break;
      std::string version = current->metadata.resourceVersion;
      const absl::Status ended = co_await RunWatch(
          client, kPath, absl::StrCat("fieldSelector=metadata.name%3D", name), version,
          [answer](std::string_view type, std::string object) { answer->Look(type, object); }, answer->done);
      if (ended.ok()) backoff.Reset();
    } else if (absl::IsFailedPrecondition(current.status())) {
      answer->result = current.status();
      answer->done.Cancel();
      break;
    }
    if (answer->done.cancelled()) break;
    SignalEvent woken(loop);
    const std::uint64_t registration = answer->done.OnCancel([&woken] { woken.Set(); });
    co_await woken.WaitUntil(std::chrono::steady_clock::now() + backoff.Next());
    answer->done.Forget(registration);
    if (!answer->done.cancelled()) current = co_await Fetch(client, name);
  }
  cancel.Forget(chained);
  co_await timer.Join();
  if (answer->result) co_return *answer->result;
  if (cancel.cancelled()) co_return absl::CancelledError("no longer waiting for a certificate");
  co_return absl::DeadlineExceededError(
      absl::StrCat("certificate signing request ", name, " was not answered in time"));
}

Task<absl::StatusOr<StoredCertificate>> Obtain(Client& client, Loop& loop, WorkerPool& disk, CertificateStore& store,
                                               SigningQuestion question, SteadyTime deadline, CancelToken cancel) {
  const std::function<absl::StatusOr<std::string>()> read_key = [&store] { return store.PendingKey(); };
  auto key = co_await Offload(loop, disk, read_key);
  if (!key.ok()) co_return key.status();
  auto request = co_await File(client, question, *key);
  if (!request.ok()) co_return request.status();
  auto pem = co_await WaitForCertificate(client, loop, *std::move(request), deadline, cancel);
  if (!pem.ok()) co_return pem.status();
  const auto expiry = ChainExpiry(*pem);
  if (!expiry.ok() || *expiry <= std::chrono::system_clock::now()) {
    co_return absl::FailedPreconditionError("the certificate that was issued is no longer good");
  }
  const std::function<absl::StatusOr<StoredCertificate>()> keep =
      [&store, cert = *pem, secret = *key]() -> absl::StatusOr<StoredCertificate> {
    return store.Update(cert, secret);
  };
  auto stored = co_await Offload(loop, disk, keep);
  co_return stored;
}

}  // namespace

std::vector<std::string> UsagesOf(const std::string& signer) {
  return {"digital signature", signer == kServingSigner ? "server auth" : "client auth"};
}

Task<absl::StatusOr<StoredCertificate>> ObtainCertificate(Client& client, Loop& loop, CertificateStore& store,
                                                          SigningQuestion question, SteadyTime deadline,
                                                          CancelToken cancel) {
  WorkerPool disk(1);
  auto stored = co_await Obtain(client, loop, disk, store, std::move(question), deadline, std::move(cancel));
  // A crash before this line finds the certificate issued, and stores it once more.
  if (stored.ok() || absl::IsFailedPrecondition(stored.status())) {
    const std::function<absl::Status()> drop = [&store] { return store.DropPendingKey(); };
    const absl::Status dropped = co_await Offload(loop, disk, drop);
    LogIfError(dropped, "Key of a certificate request not removed");
  }
  co_return stored;
}

}  // namespace burstlet::kube
