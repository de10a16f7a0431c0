#include "provider/volumes/trust_bundles.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/json.h"
#include "kube/pem.h"
#include "kube/reflector.h"
#include "metrics/log.h"
#include "metrics/status.h"

namespace burstlet::provider {
namespace {

/// How long the first use waits for the first answer.
constexpr std::chrono::seconds kFirstAnswer{5};
constexpr char kPath[] = "/apis/certificates.k8s.io/v1/clustertrustbundles";

}  // namespace

absl::StatusOr<bool> SelectorMatches(const kube::LabelSelector& selector,
                                     const std::map<std::string, std::string>& labels) {
  for (const auto& [key, value] : selector.matchLabels) {
    const auto label = labels.find(key);
    if (label == labels.end() || label->second != value) return false;
  }
  for (const kube::LabelSelectorRequirement& rule : selector.matchExpressions) {
    const auto label = labels.find(rule.key);
    const bool has = label != labels.end();
    const bool among = has && std::find(rule.values.begin(), rule.values.end(), label->second) != rule.values.end();
    bool fits = false;
    if (rule.operator_ == "In") {
      fits = among;
    } else if (rule.operator_ == "NotIn") {
      fits = !among;
    } else if (rule.operator_ == "Exists") {
      fits = has;
    } else if (rule.operator_ == "DoesNotExist") {
      fits = !has;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("while parsing label selector: \"", rule.operator_,
                                                     "\" is not a valid label selector operator"));
    }
    if (!fits) return false;
  }
  return true;
}

std::string NormalizedAnchors(const std::vector<std::string>& texts) {
  std::set<std::string> anchors;
  for (const std::string& text : texts) {
    for (std::string& der : kube::PemBlocks(text)) anchors.insert(std::move(der));
  }
  return kube::CertificatesPem({anchors.begin(), anchors.end()});
}

TrustBundles::TrustBundles(kube::Client& client, kube::Loop& loop, kube::TaskGroup& tasks)
    : client_(client), loop_(loop), tasks_(tasks) {}

TrustBundles::~TrustBundles() { cancel_.Cancel(); }

void TrustBundles::Acquire(const std::string& uid) {
  users_.insert(uid);
  Start();
}

void TrustBundles::Start() {
  if (std::exchange(started_, true)) return;
  kube::ReflectorHandlers handlers;
  handlers.replace = [this](std::vector<std::string> objects) {
    bundles_.clear();
    for (const std::string& object : objects) Put(object);
    synced_ = true;
    for (const auto& waiter : std::exchange(waiters_, {})) waiter->Set();
    Changed();
  };
  handlers.changed = [this](std::string object) {
    Put(object);
    Changed();
  };
  handlers.deleted = [this](std::string object) {
    const auto head = kube::DecodeHead(object);
    if (head.ok()) bundles_.erase(head->metadata.name);
    Changed();
  };
  tasks_.Spawn("watch trust bundles",
               kube::RunReflector(client_, loop_, "clustertrustbundles", kPath, "", std::move(handlers), cancel_));
}

void TrustBundles::Put(const std::string& object) {
  auto bundle = kube::Decode<kube::ClusterTrustBundle>(object);
  if (!bundle.ok()) return LogIfError(bundle.status(), "ClusterTrustBundle not readable");
  const std::string name = bundle->metadata.name;
  bundles_[name] = *std::move(bundle);
}

void TrustBundles::Changed() {
  if (!on_change_) return;
  const std::set<std::string> users = users_;
  for (const std::string& uid : users) on_change_(uid);
}

absl::StatusOr<std::string> TrustBundles::Find(const TrustKey& key) const {
  if (!key.name.empty()) {
    const auto bundle = bundles_.find(key.name);
    if (bundle != bundles_.end()) return NormalizedAnchors({bundle->second.spec.trustBundle});
    return absl::NotFoundError(absl::StrCat(
        "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"", key.name, "\" not found"));
  }
  std::vector<std::string> texts;
  if (!key.selector.empty()) {
    ASSIGN_OR_RETURN(const auto selector, kube::Decode<kube::LabelSelector>(key.selector));
    for (const auto& [name, bundle] : bundles_) {
      if (bundle.spec.signerName != key.signer) continue;
      ASSIGN_OR_RETURN(const bool matches, SelectorMatches(selector, bundle.metadata.labels));
      if (matches) texts.push_back(bundle.spec.trustBundle);
    }
  }
  if (texts.empty()) {
    return absl::NotFoundError("combination of signerName and labelSelector matched zero ClusterTrustBundles");
  }
  return NormalizedAnchors(texts);
}

kube::Task<absl::StatusOr<std::string>> TrustBundles::Get(TrustKey key) {
  Start();
  if (!synced_) {
    auto answer = std::make_shared<kube::SignalEvent>(loop_);
    waiters_.push_back(answer);
    co_await answer->WaitUntil(std::chrono::steady_clock::now() + kFirstAnswer);
    std::erase(waiters_, answer);
  }
  if (!synced_) co_return absl::UnavailableError("ClusterTrustBundle informer has not yet synced");
  co_return Find(key);
}

}  // namespace burstlet::provider
