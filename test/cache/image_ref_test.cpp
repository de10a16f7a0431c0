// Docker's reference grammar; the cases are distribution/reference's kinds.
#include "cache/image_ref.h"

#include <catch2/catch.hpp>

#include "cache/image_store.h"
#include "metrics/status.h"

namespace burstlet::cache {
namespace {
const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;
}  // namespace

TEST_CASE("references are normalised as Docker does", "[image_ref]") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"nginx", "docker.io/library/nginx:latest"},
      {"nginx:1.25", "docker.io/library/nginx:1.25"},
      {"team/app", "docker.io/team/app:latest"},
      {"docker.io/nginx", "docker.io/library/nginx:latest"},
      {"index.docker.io/nginx", "docker.io/library/nginx:latest"},
      {"localhost/app", "localhost/app:latest"},
      {"localhost:5000/app:v1", "localhost:5000/app:v1"},
      {"registry.example.com/a/b/c", "registry.example.com/a/b/c:latest"},
      {"[::1]:5000/app", "[::1]:5000/app:latest"},
      {"127.0.0.1:5000/a__b/c--d.e", "127.0.0.1:5000/a__b/c--d.e:latest"},
      {"nginx@" + kDigest, "docker.io/library/nginx@" + kDigest},
      {"nginx:1@" + kDigest, "docker.io/library/nginx:1@" + kDigest},
      {"Upper.example.com/app", "Upper.example.com/app:latest"},
      {"UPPER/app", "UPPER/app:latest"},
      {"x:5000/app", "x:5000/app:latest"},
      {"app:5000", "docker.io/library/app:5000"},
      {"a:" + std::string(128, 't'), "docker.io/library/a:" + std::string(128, 't')},
  };
  for (const auto& [text, wanted] : cases) {
    INFO(text);
    const auto got = NormalizeReference(text);
    REQUIRE(got.ok());
    CHECK(*got == wanted);
    CHECK(*NormalizeReference(*got) == wanted);
  }
}

TEST_CASE("bad references have the reason InvalidImageName", "[image_ref]") {
  for (const std::string& text : std::vector<std::string>{"",
                                                          ":tag",
                                                          "@" + kDigest,
                                                          "Nginx",
                                                          "a/B",
                                                          "a//b",
                                                          "/a",
                                                          "a/",
                                                          "a:",
                                                          "a:b:c",
                                                          "a@",
                                                          "a@sha256:123",
                                                          "a@md5:" + kHex,
                                                          "a@SHA256:" + kHex,
                                                          "a@sha256:" + std::string(64, 'A'),
                                                          "a b",
                                                          "a..b",
                                                          "a___b",
                                                          "-a",
                                                          "a-",
                                                          "a/.b",
                                                          "host:port/a",
                                                          "host:123456/a",
                                                          "-host.example/a",
                                                          "host..example/a",
                                                          "[::1/a",
                                                          "[g]/a",
                                                          "a:" + std::string(129, 't'),
                                                          kHex,
                                                          std::string(256, 'a'),
                                                          "a\n",
                                                          std::string("a\0b", 3),
                                                          "a?x=y",
                                                          "../a",
                                                          "a:-x",
                                                          "\xff",
                                                          std::string(5000, 'a')}) {
    INFO(text);
    const auto got = NormalizeReference(text);
    REQUIRE_FALSE(got.ok());
    CHECK(got.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(ReasonOf(got.status()) == "InvalidImageName");
  }
}

TEST_CASE("only a missing or :latest tag makes the pull policy Always", "[image_ref]") {
  CHECK(IsLatestTag("nginx"));
  CHECK(IsLatestTag("localhost:5000/nginx:latest"));
  CHECK_FALSE(IsLatestTag("nginx:1"));
  CHECK_FALSE(IsLatestTag("nginx@" + kDigest));
  CHECK_FALSE(IsLatestTag("nginx:latest@" + kDigest));
  CHECK_FALSE(IsLatestTag(""));
}

}  // namespace burstlet::cache
