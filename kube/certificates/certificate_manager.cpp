#include "kube/certificates/certificate_manager.h"

#include <cmath>
#include <limits>
#include <random>

#include "metrics/log.h"

namespace burstlet::kube {
namespace {

using SystemTime = std::chrono::system_clock::time_point;

/// The steady clock stands while a machine sleeps and the wall clock may be set: a look now and then sees both, and
/// addresses that nobody told of.
constexpr std::chrono::seconds kLookInterval{30};

double Spread() {
  static std::minstd_rand random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

/// Signers date certificates back by minutes, so that a short-lived one may be past 90 % of its life when it comes: not
/// before a tenth of what is left has gone.
SystemTime NextRotation(const CertificateInfo& info, SystemTime now) {
  return std::max(RotationTime(info, Spread()), now + (info.not_after - now) / 10);
}

std::string TimeText(SystemTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

SystemTime RotationTime(const CertificateInfo& info, double spread) {
  const std::chrono::duration<double> life = info.not_after - info.not_before;
  return info.not_before + std::chrono::round<std::chrono::seconds>(life * (0.7 + 0.2 * spread));
}

CertificateManager::CertificateManager(Loop& loop, CertificateStore store, CertificateManagerConfig config,
                                       std::optional<CertificateInfo> current, bool force)
    : loop_(loop),
      store_(std::move(store)),
      config_(std::move(config)),
      current_(std::move(current)),
      backoff_(config_.retry_first, config_.retry_most),
      force_(force),
      wake_(loop) {
  if (current_) rotate_at_ = RotationTime(*current_, Spread());
}

void CertificateManager::Start(TaskGroup& tasks) { tasks.Spawn("certificate of " + config_.signer, Run()); }

void CertificateManager::Stop() {
  stop_.Cancel();
  attempt_.Cancel();
  wake_.Set();
}

void CertificateManager::Wake() {
  // A request under way for what is no longer wanted (other addresses) is given up.
  if (asked_ && config_.subject() && !Satisfies(*asked_, *config_.subject())) attempt_.Cancel();
  wake_.Set();
}

double CertificateManager::TtlSeconds() const {
  if (!current_) return std::numeric_limits<double>::infinity();
  const std::chrono::duration<double> left = current_->not_after - config_.now();
  return std::trunc(left.count());
}

bool CertificateManager::Fits() const {
  const auto wanted = config_.subject();
  return current_ && (!wanted || Satisfies(current_->subject, *wanted));
}

bool CertificateManager::Due() const { return force_ || !Fits() || config_.now() >= rotate_at_; }

Task<void> CertificateManager::Run() {
  while (!stop_.cancelled()) {
    if (Due() && config_.subject()) {
      co_await Rotate();
      continue;
    }
    auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(kLookInterval);
    if (current_) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(rotate_at_ - config_.now());
      wait = std::min(wait, std::max(left, std::chrono::milliseconds(1)));
    }
    co_await wake_.WaitUntil(std::chrono::steady_clock::now() + wait);
  }
}

/// Somebody else may have put a certificate there (an administrator, another agent's run).
bool CertificateManager::AdoptStored() {
  const auto stored = store_.Current();
  if (!stored.ok() || (current_ && stored->info.not_after <= current_->not_after)) return false;
  const auto wanted = config_.subject();
  if (RotationTime(stored->info, 0) <= config_.now() || !wanted || !Satisfies(stored->info.subject, *wanted)) {
    return false;
  }
  current_ = stored->info;
  rotate_at_ = NextRotation(*current_, config_.now());
  force_ = false;
  Info("Took up the certificate that was found",
       {{"signer", config_.signer}, {"expires", TimeText(current_->not_after)}});
  config_.on_issued(*stored);
  return true;
}

/// One try; when it fails, the wait before the next.
Task<void> CertificateManager::Rotate() {
  if (AdoptStored()) co_return;
  const SigningQuestion question{config_.signer, *config_.subject(), UsagesOf(config_.signer)};
  absl::StatusOr<StoredCertificate> stored = absl::UnknownError("");
  const absl::StatusOr<Client*> client = config_.client();
  if (client.ok()) {
    asked_ = question.subject;
    attempt_ = CancelToken();
    const SteadyTime deadline = std::chrono::steady_clock::now() + config_.answer_limit;
    stored = co_await ObtainCertificate(**client, loop_, store_, question, deadline, attempt_);
    asked_.reset();
  } else {
    stored = client.status();
  }
  if (stop_.cancelled() || absl::IsCancelled(stored.status())) co_return;
  if (!stored.ok()) {
    Error("No certificate", {{"signer", config_.signer}, {"err", std::string(stored.status().message())}});
    config_.on_failed();
    co_await wake_.WaitUntil(std::chrono::steady_clock::now() + backoff_.Next());
    co_return;
  }
  const std::optional<CertificateInfo> before = std::move(current_);
  current_ = stored->info;
  rotate_at_ = NextRotation(*current_, config_.now());
  force_ = false;
  Info(
      "A new certificate is in use",
      {{"signer", config_.signer}, {"expires", TimeText(current_->not_after)}, {"nextRotation", TimeText(rotate_at_)}});
  if (before) config_.on_rotated(std::chrono::duration_cast<std::chrono::seconds>(config_.now() - before->not_before));
  config_.on_issued(*stored);
  if (Fits()) {
    backoff_.Reset();
    co_return;
  }
  Error("The certificate that was issued does not say what was asked for", {{"signer", config_.signer}});
  config_.on_failed();
  co_await wake_.WaitUntil(std::chrono::steady_clock::now() + backoff_.Next());
}

}  // namespace burstlet::kube
