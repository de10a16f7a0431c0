#include "kube/server/authz.h"

#include <utility>
#include <vector>

#include "metrics/log.h"

namespace burstlet::kube {
namespace {

constexpr std::size_t kMaxAnswers = 4096;
constexpr std::size_t kMaxOpenReviews = 512;

std::string Join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out.append(out.empty() ? "" : " ").append(word);
  return out;
}

// Lengths first: no user name can be made to look like another one's name and group.
void Append(std::string* key, const std::string& part) {
  key->append(std::to_string(part.size())).append(":").append(part);
}

std::string Key(const SubjectAccessReviewSpec& spec) {
  std::string key;
  Append(&key, spec.user);
  Append(&key, spec.uid);
  Append(&key, spec.resourceAttributes->verb);
  Append(&key, spec.resourceAttributes->subresource);
  for (const std::string& group : spec.groups) Append(&key, group);
  key.append("|");
  for (const auto& [name, values] : spec.extra) {
    Append(&key, name);
    key.append(std::to_string(values.size())).append("*");
    for (const std::string& value : values) Append(&key, value);
  }
  return key;
}

}  // namespace

struct Authorizer::Question {
  UserInfo user;
  std::string verb;
  std::vector<std::string> subresources;
  std::size_t next = 0;
  Callback callback;
};

Authorizer::Authorizer(std::string node_name, ReviewAccess review, Options options)
    : node_name_(std::move(node_name)),
      always_allow_(options.always_allow),
      review_(std::move(review)),
      cache_(kMaxAnswers, kMaxOpenReviews,
             [options](const SubjectAccessReviewStatus& status) -> std::chrono::steady_clock::duration {
               return status.allowed ? options.allowed_lifetime : options.denied_lifetime;
             }) {}

void Authorizer::Authorize(const UserInfo& user, const Route& route, Callback callback) {
  if (always_allow_) {
    callback(nullptr);
    return;
  }
  auto question = std::make_shared<Question>();
  question->user = user;
  question->verb = route.verb;
  question->subresources = route.subresources;
  question->callback = std::move(callback);
  Ask(std::move(question));
}

void Authorizer::Ask(std::shared_ptr<Question> question) {
  const std::string& subresource = question->subresources[question->next];
  SubjectAccessReviewSpec spec;
  spec.user = question->user.username;
  spec.uid = question->user.uid;
  spec.groups = question->user.groups;
  spec.extra = question->user.extra;
  spec.resourceAttributes.emplace();
  spec.resourceAttributes->verb = question->verb;
  spec.resourceAttributes->version = "v1";
  spec.resourceAttributes->resource = "nodes";
  spec.resourceAttributes->subresource = subresource;
  spec.resourceAttributes->name = node_name_;
  const std::string key = Key(spec);
  cache_.Get(
      key,
      [this, spec = std::move(spec)](ReviewCache<SubjectAccessReviewStatus>::Callback done) {
        if (!review_) {
          done(absl::UnavailableError("no authorizer"));
          return;
        }
        review_(spec, std::move(done));
      },
      [self = shared_from_this(), question](absl::StatusOr<SubjectAccessReviewStatus> answer) {
        const std::string& asked = question->subresources[question->next];
        if (!answer.ok()) {
          Warn("Could not review the access of a request",
               {{"user", question->user.username}, {"err", std::string(answer.status().message())}});
          question->callback(std::make_unique<HttpResponse>(
              TextResponse(500, "Authorization error (user=" + question->user.username + ", verb=" + question->verb +
                                    ", resource=nodes, subresource=" + asked + ")")));
          return;
        }
        if (answer->allowed && !answer->denied) {
          question->callback(nullptr);
          return;
        }
        if (++question->next < question->subresources.size()) {
          self->Ask(question);
          return;
        }
        question->callback(std::make_unique<HttpResponse>(
            TextResponse(403, "Forbidden (user=" + question->user.username + ", verb=" + question->verb +
                                  ", resource=nodes, subresource(s)=[" + Join(question->subresources) + "])\n")));
      });
}

}  // namespace burstlet::kube
