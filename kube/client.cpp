#include "kube/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/client_status.h"
#include "kube/json.h"
#include "metrics/status.h"

namespace burstlet::kube {
namespace {

constexpr std::chrono::milliseconds kDefaultTimeout{30'000};
constexpr char kJson[] = "application/json";
constexpr char kStrategicMerge[] = "application/strategic-merge-patch+json";
constexpr char kLeases[] = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// One segment of a path, percent-encoded (RFC 3986 2.3).
std::string Segment(const std::string& text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::string NodePath(const std::string& name) { return absl::StrCat("/api/v1/nodes/", Segment(name)); }

std::string Namespaced(const std::string& name_space, const char* resource, const std::string& name = "") {
  std::string path = absl::StrCat("/api/v1/namespaces/", Segment(name_space), "/", resource);
  if (!name.empty()) absl::StrAppend(&path, "/", Segment(name));
  return path;
}

/// Objects that are sent carry their type.
template <typename T>
T Typed(T object, const char* api_version, const char* kind) {
  object.apiVersion = api_version;
  object.kind = kind;
  return object;
}

Task<absl::StatusOr<Response>> Send(Client& client, std::string method, std::string path, std::string content_type,
                                    std::string body) {
  auto response = co_await client.Do(method, path, content_type, body, kDefaultTimeout);
  if (response.ok()) {
    CO_RETURN_IF_ERROR(StatusOfResponse(response->code, response->body, std::chrono::milliseconds(0)));
  }
  co_return response;
}

template <typename T>
Task<absl::StatusOr<T>> Call(Client& client, std::string method, std::string path, std::string content_type,
                             std::string body) {
  CO_ASSIGN_OR_RETURN(const Response response, co_await Send(client, method, path, content_type, body));
  auto object = Decode<T>(response.body);
  if (!object.ok()) co_return Annotate(object.status(), absl::StrCat("answer to ", method, " ", path));
  co_return object;
}

}  // namespace

Task<absl::StatusOr<Node>> Client::GetNode(std::string name) {
  co_return co_await Call<Node>(*this, "GET", NodePath(name), "", "");
}

Task<absl::StatusOr<Node>> Client::CreateNode(Node node) {
  std::string body = Encode(Typed(std::move(node), "v1", "Node"));
  co_return co_await Call<Node>(*this, "POST", "/api/v1/nodes", kJson, std::move(body));
}

Task<absl::StatusOr<Node>> Client::PatchNode(std::string name, std::string patch_json) {
  co_return co_await Call<Node>(*this, "PATCH", NodePath(name), kStrategicMerge, std::move(patch_json));
}

Task<absl::StatusOr<Node>> Client::PatchNodeStatus(std::string name, std::string patch_json) {
  std::string path = NodePath(name) + "/status";
  co_return co_await Call<Node>(*this, "PATCH", std::move(path), kStrategicMerge, std::move(patch_json));
}

Task<absl::StatusOr<Lease>> Client::GetLease(std::string name) {
  std::string path = absl::StrCat(kLeases, "/", Segment(name));
  co_return co_await Call<Lease>(*this, "GET", std::move(path), "", "");
}

Task<absl::StatusOr<Lease>> Client::CreateLease(Lease lease) {
  std::string body = Encode(Typed(std::move(lease), "coordination.k8s.io/v1", "Lease"));
  co_return co_await Call<Lease>(*this, "POST", kLeases, kJson, std::move(body));
}

Task<absl::StatusOr<Lease>> Client::UpdateLease(Lease lease) {
  std::string path = absl::StrCat(kLeases, "/", Segment(lease.metadata.name));
  std::string body = Encode(Typed(std::move(lease), "coordination.k8s.io/v1", "Lease"));
  co_return co_await Call<Lease>(*this, "PUT", std::move(path), kJson, std::move(body));
}

Task<absl::StatusOr<Pod>> Client::GetPod(std::string name_space, std::string name) {
  co_return co_await Call<Pod>(*this, "GET", Namespaced(name_space, "pods", name), "", "");
}

Task<absl::StatusOr<Pod>> Client::PatchPodStatus(std::string name_space, std::string name, std::string patch_json) {
  std::string path = Namespaced(name_space, "pods", name) + "/status";
  co_return co_await Call<Pod>(*this, "PATCH", std::move(path), kStrategicMerge, std::move(patch_json));
}

Task<absl::Status> Client::DeletePod(std::string name_space, std::string name, std::string uid,
                                     std::int64_t grace_seconds) {
  // The precondition keeps a new pod of the same name safe.
  ObjectReference preconditions;
  preconditions.uid = std::move(uid);
  std::string body = absl::StrCat(R"({"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":)", grace_seconds,
                                  R"(,"preconditions":)", Encode(preconditions), "}");
  std::string path = Namespaced(name_space, "pods", name);
  const auto response = co_await Send(*this, "DELETE", std::move(path), kJson, std::move(body));
  co_return response.status();
}

Task<absl::StatusOr<ConfigMap>> Client::GetConfigMap(std::string name_space, std::string name) {
  co_return co_await Call<ConfigMap>(*this, "GET", Namespaced(name_space, "configmaps", name), "", "");
}

Task<absl::StatusOr<Secret>> Client::GetSecret(std::string name_space, std::string name) {
  co_return co_await Call<Secret>(*this, "GET", Namespaced(name_space, "secrets", name), "", "");
}

Task<absl::StatusOr<TokenRequest>> Client::CreateToken(std::string name_space, std::string service_account,
                                                       TokenRequest request) {
  std::string path = Namespaced(name_space, "serviceaccounts", service_account) + "/token";
  std::string body = Encode(Typed(std::move(request), "authentication.k8s.io/v1", "TokenRequest"));
  co_return co_await Call<TokenRequest>(*this, "POST", std::move(path), kJson, std::move(body));
}

Task<absl::StatusOr<Event>> Client::CreateEvent(Event event) {
  std::string path = Namespaced(event.metadata.namespace_, "events");
  std::string body = Encode(Typed(std::move(event), "v1", "Event"));
  co_return co_await Call<Event>(*this, "POST", std::move(path), kJson, std::move(body));
}

Task<absl::StatusOr<Event>> Client::PatchEvent(std::string name_space, std::string name, std::string patch_json) {
  std::string path = Namespaced(name_space, "events", name);
  co_return co_await Call<Event>(*this, "PATCH", std::move(path), kStrategicMerge, std::move(patch_json));
}

Task<absl::StatusOr<TokenReview>> Client::ReviewToken(TokenReview review) {
  std::string body = Encode(Typed(std::move(review), "authentication.k8s.io/v1", "TokenReview"));
  co_return co_await Call<TokenReview>(*this, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", kJson,
                                       std::move(body));
}

Task<absl::StatusOr<SubjectAccessReview>> Client::ReviewAccess(SubjectAccessReview review) {
  std::string body = Encode(Typed(std::move(review), "authorization.k8s.io/v1", "SubjectAccessReview"));
  co_return co_await Call<SubjectAccessReview>(*this, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                                               kJson, std::move(body));
}

}  // namespace burstlet::kube
