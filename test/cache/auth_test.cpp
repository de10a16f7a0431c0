// Bearer tokens, identity tokens, and realms that are after a password.
#include <catch2/catch.hpp>

#include "cache/base64.h"
#include "cache/image_store.h"
#include "metrics/status.h"
#include "test/cache/fake_registry.h"
#include "test/cache/temp_dir.h"

namespace burstlet::cache {
namespace {

using namespace burstlet::cache::test;

struct BearerRegistry {
  BearerRegistry() : registry([this](const ServerRequest& request, Connection& c) { return Guard(request, c); }) {
    registry.Add("team/app", "v1", MakeImage({GzipLayer(TarBuilder().File("a", "a").Finish())}));
  }

  bool Guard(const ServerRequest& request, Connection& c) {
    if (request.target.compare(0, 6, "/token") == 0) {
      Token(request, c);
      return true;
    }
    const auto authorization = request.headers.find("authorization");
    if (authorization != request.headers.end() && authorization->second == "Bearer " + accepted) return false;
    if (request.target == "/v2/") return false;
    c.SendResponse(401, R"({"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]})",
                   "WWW-Authenticate: Bearer realm=\"" + Realm() +
                       "\",service=\"registry.test\",scope=\"repository:team/app:pull\"\r\n");
    return true;
  }
  std::string Realm() { return realm.empty() ? "http://" + registry.host() + "/token" : realm; }

  void Token(const ServerRequest& request, Connection& c) {
    const bool refresh = request.method == "POST" &&
                         request.body.find("grant_type=refresh_token") != std::string::npos &&
                         request.body.find("refresh_token=id%2Ftoken") != std::string::npos;
    const auto authorization = request.headers.find("authorization");
    const bool password =
        authorization != request.headers.end() && authorization->second == "Basic " + Base64Encode("alice:secret") &&
        request.target == "/token?service=registry.test&scope=repository%3Ateam%2Fapp%3Apull&account=alice";
    if (!refresh && !password) {
      c.SendResponse(401, R"({"details":"incorrect username or password"})");
      return;
    }
    c.SendResponse(200, (refresh ? R"({"access_token":")" : R"({"token":")") + handed_out + R"(","expires_in":300})");
  }

  std::string realm;
  std::string accepted = "good-token";
  std::string handed_out = "good-token";
  FakeRegistry registry;
};

absl::StatusOr<PullResult> PullWith(BearerRegistry& bearer, const std::vector<Credentials>& credentials) {
  TempDir dir;
  auto store = *ImageStore::Open(dir / "images", {});
  return store->Pull({bearer.registry.host() + "/team/app:v1", credentials, nullptr});
}

}  // namespace

TEST_CASE("a bearer token is fetched once and used for everything", "[auth]") {
  BearerRegistry bearer;
  const auto result = PullWith(bearer, {Credentials{"alice", "secret", "", ""}});
  INFO(result.status().ToString());
  REQUIRE(result.ok());
  CHECK(bearer.registry.server().Count("/token") == 1);
}

TEST_CASE("an identity token is traded for a bearer token by POST", "[auth]") {
  BearerRegistry bearer;
  const auto result = PullWith(bearer, {Credentials{"", "", "id/token", ""}});
  INFO(result.status().ToString());
  REQUIRE(result.ok());
}

TEST_CASE("a registry token is presented as it is", "[auth]") {
  BearerRegistry bearer;
  const auto result = PullWith(bearer, {Credentials{"", "", "", "good-token"}});
  INFO(result.status().ToString());
  REQUIRE(result.ok());
  CHECK(bearer.registry.server().Count("/token") == 0);
}

TEST_CASE("a refused login is said in the realm's words, without the password", "[auth]") {
  BearerRegistry bearer;
  const auto result = PullWith(bearer, {Credentials{"alice", "hunter2", "", ""}});
  REQUIRE_FALSE(result.ok());
  const std::string text(result.status().message());
  INFO(text);
  CHECK(text.find("pull access denied") != std::string::npos);
  CHECK(text.find("incorrect username or password") != std::string::npos);
  CHECK(text.find("hunter2") == std::string::npos);
  CHECK(ReasonOf(result.status()) == "ErrImagePull");
}

TEST_CASE("a token that is never accepted ends, and does not loop", "[auth]") {
  BearerRegistry bearer;
  bearer.handed_out = "stale";
  const auto result = PullWith(bearer, {Credentials{"alice", "secret", "", ""}});
  CHECK_FALSE(result.ok());
  CHECK(bearer.registry.server().Count("/token") <= 4);
}

TEST_CASE("a token with a line break never becomes a header", "[auth]") {
  BearerRegistry bearer;
  bearer.handed_out = "good-token\\r\\nX-Injected: yes";
  const auto result = PullWith(bearer, {Credentials{"alice", "secret", "", ""}});
  REQUIRE_FALSE(result.ok());
  for (const ServerRequest& request : bearer.registry.server().requests())
    CHECK(request.headers.count("x-injected") == 0);
}

TEST_CASE("a realm without TLS on another host gets no password", "[auth]") {
  BearerRegistry bearer;
  for (const std::string realm :
       {"http://attacker.example/token", "http://169.254.169.254/token", "gopher://x/", "", "http://[::1"}) {
    bearer.realm = realm.empty() ? "/token" : realm;
    INFO(bearer.realm);
    const auto result = PullWith(bearer, {Credentials{"alice", "secret", "", ""}});
    REQUIRE_FALSE(result.ok());
    INFO(result.status().ToString());
    CHECK(std::string(result.status().message()).find("realm") != std::string::npos);
  }
  CHECK(bearer.registry.server().Count("/token") == 0);
}

TEST_CASE("a realm's redirect to another origin loses the password", "[auth]") {
  PlainServer thief([](const ServerRequest&, Connection& c) { c.SendResponse(200, R"({"token":"x"})"); });
  FakeRegistry* self = nullptr;
  FakeRegistry registry([&](const ServerRequest& request, Connection& c) {
    if (request.target.compare(0, 6, "/token") == 0) {
      c.SendResponse(307, "", "Location: http://" + thief.host() + "/steal\r\n");
      return true;
    }
    if (request.target == "/v2/") return false;
    c.SendResponse(401, "", "WWW-Authenticate: Bearer realm=\"http://" + self->host() + "/token\"\r\n");
    return true;
  });
  self = &registry;
  TempDir dir;
  auto store = *ImageStore::Open(dir / "images", {});
  CHECK_FALSE(store->Pull({registry.host() + "/a:v1", {Credentials{"alice", "secret", "", ""}}, nullptr}).ok());
  CHECK_FALSE(store->Pull({registry.host() + "/a:v1", {Credentials{"", "", "identity", ""}}, nullptr}).ok());
  for (const ServerRequest& request : thief.requests()) {
    CHECK(request.headers.count("authorization") == 0);
    CHECK(request.body.empty());
  }
}

}  // namespace burstlet::cache
