// URLs, proxies and challenges: what decides where credentials go.
#include "cache/url.h"

#include <catch2/catch.hpp>

#include "cache/auth_challenge.h"
#include "cache/digest.h"
#include "cache/proxy.h"
#include "cache/token_source.h"

namespace burstlet::cache {

TEST_CASE("URLs are taken apart", "[url]") {
  const auto url = ParseUrl("HTTPS://user:pass@Example.com:8443/a/b?c=d#e");
  REQUIRE(url.ok());
  CHECK(url->Text() == "https://example.com:8443/a/b?c=d");
  CHECK(url->user == "user");
  CHECK(url->password == "pass");
  CHECK(ParseUrl("http://h")->Text() == "http://h/");
  CHECK(ParseUrl("http://h?x=1")->target == "/?x=1");
  CHECK(ParseUrl("http://h:80/")->Authority() == "h");
  CHECK(ParseUrl("https://h:80/")->Authority() == "h:80");
  CHECK(ParseUrl("http://[::1]:5000/x")->BareHost() == "::1");
  for (const std::string text :
       {"", "h/x", "ftp://h/", "http://", "http:///x", "http://h:0/", "http://h:99999/", "http://h:x/", "http://h /",
        "http://h/\r\nX: y", "http://[::g]/", "http://[::1]x/", "http://h\x80/", "http://a@"}) {
    INFO(text);
    CHECK_FALSE(ParseUrl(text).ok());
  }
}

TEST_CASE("locations are resolved against the request", "[url]") {
  const Url base = *ParseUrl("https://r.io:5000/v2/a/blobs/x?y=z");
  CHECK(ResolveUrl(base, "/other")->Text() == "https://r.io:5000/other");
  CHECK(ResolveUrl(base, "rel?q")->Text() == "https://r.io:5000/v2/a/blobs/rel?q");
  CHECK(ResolveUrl(base, "?q")->Text() == "https://r.io:5000/v2/a/blobs/x?q");
  CHECK(ResolveUrl(base, "//cdn.io/x")->Text() == "https://cdn.io/x");
  CHECK(ResolveUrl(base, "http://cdn.io/x")->Text() == "http://cdn.io/x");
  CHECK_FALSE(ResolveUrl(base, "").ok());
  CHECK_FALSE(ResolveUrl(base, "file:///etc/passwd").ok());
  CHECK_FALSE(ResolveUrl(base, "javascript:alert(1)/").ok());
}

TEST_CASE("loopback is what it says", "[url]") {
  for (const std::string host : {"localhost", "127.0.0.1", "127.255.0.9", "[::1]"}) CHECK(IsLoopbackHost(host));
  for (const std::string host :
       {"localhost.evil.io", "128.0.0.1", "127.0.0.1.evil.io", "10.0.0.1", "[::2]", "127.1.evil"})
    CHECK_FALSE(IsLoopbackHost(host));
}

TEST_CASE("proxies come from the environment's rules", "[proxy]") {
  ProxyConfig config{"http://plain.proxy:3128", "tls.proxy:3129",
                     "example.com, .internal,10.0.0.0/8,*.lab.io,exact.io:5000,192.168.1.1"};
  const auto via = [&](const std::string& url) -> std::string {
    const auto proxy = config.For(*ParseUrl(url));
    REQUIRE(proxy.ok());
    return proxy->has_value() ? (*proxy)->Authority() : "";
  };
  CHECK(via("http://r.io/") == "plain.proxy:3128");
  CHECK(via("https://r.io/") == "tls.proxy:3129");
  for (const std::string url :
       {"https://example.com/", "https://sub.example.com/", "https://x.internal/", "https://10.1.2.3/",
        "https://a.lab.io/", "https://exact.io:5000/", "https://192.168.1.1/", "http://127.0.0.1:5000/",
        "http://localhost/", "http://[::1]/"}) {
    INFO(url);
    CHECK(via(url) == "");
  }
  for (const std::string url : {"https://notexample.com/", "https://internal/", "https://11.1.2.3/",
                                "https://exact.io/", "https://192.168.1.2/"}) {
    INFO(url);
    CHECK(via(url) != "");
  }
  config.no_proxy = "*";
  CHECK(via("https://r.io/") == "");
  config = {"://", "", ""};
  CHECK_FALSE(config.For(*ParseUrl("http://r.io/")).ok());
}

TEST_CASE("challenges are parsed however they are written", "[challenge]") {
  const auto one =
      ParseAuthChallenges(R"(Bearer realm="https://a.io/token",service="reg, \"x\"",scope="repository:a:pull,push")");
  REQUIRE(one.size() == 1);
  CHECK(one[0].scheme == "bearer");
  CHECK(one[0].parameters.at("realm") == "https://a.io/token");
  CHECK(one[0].parameters.at("service") == "reg, \"x\"");
  CHECK(one[0].parameters.at("scope") == "repository:a:pull,push");
  const auto two = ParseAuthChallenges("Negotiate, Basic realm=test , BEARER Realm = x");
  REQUIRE(two.size() == 3);
  CHECK(two[1].parameters.at("realm") == "test");
  CHECK(two[2].parameters.at("realm") == "x");
  CHECK(ParseAuthChallenges("").empty());
  CHECK(ParseAuthChallenges("\"\",,,==\x01").empty());
  CHECK(ParseAuthChallenges(std::string(100'000, 'a')).size() == 1);
  CHECK(ParseAuthChallenges("Bearer realm=\"unterminated").at(0).parameters.at("realm") == "unterminated");
}

TEST_CASE("digests are exactly what they should be", "[digest]") {
  CHECK(Digest::Parse("sha256:" + std::string(64, 'a')).ok());
  CHECK(Digest::Parse("sha512:" + std::string(128, '0')).ok());
  for (const std::string& text :
       std::vector<std::string>{"", "sha256:", "sha256:" + std::string(63, 'a'), "sha256:" + std::string(64, 'A'),
                                "sha512:" + std::string(64, 'a'), "md5:" + std::string(32, 'a'),
                                "sha256:" + std::string(63, 'a') + "/", "sha256:../" + std::string(61, 'a')}) {
    INFO(text);
    CHECK_FALSE(Digest::Parse(text).ok());
  }
  CHECK(DigestOf("").text() == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

}  // namespace burstlet::cache
