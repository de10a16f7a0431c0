// May they: SubjectAccessReviews for the node's subresources, tried in order, remembered for a while.
//
// Threads: any. Failure: a review that can't be had is an error (500), never a permission.
// Source: pkg/kubelet/server/server.go InstallAuthFilter, apiserver/pkg/authorization/authorizerfactory.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "kube/api/auth.h"
#include "kube/server/http_message.h"
#include "kube/server/review_cache.h"
#include "kube/server/router.h"

namespace burstlet::kube {

class Authorizer : public std::enable_shared_from_this<Authorizer> {
 public:
  using ReviewAccess = std::function<void(SubjectAccessReviewSpec, Reply<SubjectAccessReviewStatus>)>;
  /// No response = allowed; else the refusal to send.
  using Callback = std::function<void(std::unique_ptr<HttpResponse> refusal)>;

  struct Options {
    bool always_allow = false;
    std::chrono::seconds allowed_lifetime{300};
    std::chrono::seconds denied_lifetime{30};
  };
  Authorizer(std::string node_name, ReviewAccess review, Options options);

  /// Completes at once or when the last review is back, on any thread. Held by shared_ptr: open reviews keep it.
  void Authorize(const UserInfo& user, const Route& route, Callback callback);

 private:
  struct Question;
  void Ask(std::shared_ptr<Question> question);

  std::string node_name_;
  bool always_allow_;
  ReviewAccess review_;
  ReviewCache<SubjectAccessReviewStatus> cache_;
};

}  // namespace burstlet::kube
