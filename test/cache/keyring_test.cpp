// Pull secrets: the kubelet's matching (pkg/credentialprovider/keyring_test.go has the kinds of cases).
#include <catch2/catch.hpp>

#include "cache/base64.h"
#include "cache/image_store.h"

namespace burstlet::cache {
namespace {

std::vector<std::string> UsersFor(const std::string& image, const std::string& auths) {
  const auto found = CredentialsFor(image, {"{\"auths\":" + auths + "}"}, {});
  REQUIRE(found.ok());
  std::vector<std::string> users;
  for (const Credentials& credentials : *found) users.push_back(credentials.username);
  return users;
}

std::string Entry(const std::string& registry, const std::string& user = "u") {
  return "{\"" + registry + "\":{\"username\":\"" + user + "\",\"password\":\"p\"}}";
}

}  // namespace

TEST_CASE("registry keys match as the kubelet's keyring does", "[keyring]") {
  const std::vector<std::string> u = {"u"}, none;
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("reg.example.com")) == u);
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("https://reg.example.com")) == u);
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("https://reg.example.com/v1/")) == u);
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("http://reg.example.com/v2/a")) == u);
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("reg.example.com/a")) == u);
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("reg.example.com/c")) == none);
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("*.example.com")) == u);
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("*.*.com/a")) == u);
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("r?g.ex*le.com")) == u);
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("*.com")) == none);
  CHECK(UsersFor("reg.example.com/a/b:1", Entry("example.com")) == none);
  CHECK(UsersFor("reg.example.com:5000/a", Entry("reg.example.com")) == none);
  CHECK(UsersFor("reg.example.com:5000/a", Entry("*.example.com:5000")) == u);
  CHECK(UsersFor("nginx", Entry("https://index.docker.io/v1/")) == u);
  CHECK(UsersFor("nginx", Entry("docker.io")) == u);
  CHECK(UsersFor("other.io/nginx", Entry("https://index.docker.io/v1/")) == none);
}

TEST_CASE("the longest path comes first and all that match are tried", "[keyring]") {
  CHECK(UsersFor("reg.io/a/b/c",
                 R"({"reg.io":{"username":"host"},"reg.io/a/b":{"username":"deep"},"reg.io/a":{"username":"mid"}})") ==
        std::vector<std::string>{"deep", "mid", "host"});
}

TEST_CASE("auth fields, tokens and the old format are read", "[keyring]") {
  const auto auth =
      CredentialsFor("r.io/a", {R"({"auths":{"r.io":{"auth":")" + Base64Encode("bob:pa:ss") + R"("}}})"}, {});
  REQUIRE(auth.ok());
  CHECK(auth->at(0).username == "bob");
  CHECK(auth->at(0).password == "pa:ss");
  const auto token =
      CredentialsFor("r.io/a", {R"({"auths":{"r.io":{"identitytoken":"id","registrytoken":"reg"}}})"}, {});
  CHECK(token->at(0).identity_token == "id");
  CHECK(token->at(0).registry_token == "reg");
  const auto old = CredentialsFor("r.io/a", {}, {R"({"r.io":{"username":"old","password":"p"}})"});
  CHECK(old->at(0).username == "old");
  CHECK(CredentialsFor("r.io/a", {"{}"}, {})->empty());
}

TEST_CASE("a broken secret is an error without its content", "[keyring]") {
  for (const std::string& document :
       std::vector<std::string>{"{", "hunter2", R"({"auths":{"r.io":{"auth":"hunter2!"}}})",
                                R"({"auths":{"r.io":{"auth":")" + Base64Encode("hunter2") + R"("}}})"}) {
    INFO(document);
    const auto found = CredentialsFor("r.io/a", {document}, {});
    REQUIRE_FALSE(found.ok());
    CHECK(std::string(found.status().message()).find("hunter2") == std::string::npos);
  }
}

}  // namespace burstlet::cache
