// Registries that lie, hang, cut, redirect and steal: each ends in an error that says so, with nothing stored.
#include <catch2/catch.hpp>

#include "cache/image_catalog.h"
#include "cache/puller.h"
#include "metrics/status.h"
#include "test/cache/fake_registry.h"
#include "test/cache/temp_dir.h"

namespace burstlet::cache {
namespace {

using namespace burstlet::cache::test;

/// The store's parts with short time-outs.
struct Rig {
  explicit Rig(const RegistryConfig& config = {}, const ProxyConfig& proxy = {}) : registry(config, Options(proxy)) {
    layers = *LayerStore::Open(dir.path());
    catalog = *ImageCatalog::Open(dir.path(), *layers);
    puller = std::make_unique<Puller>(config, registry, *layers, *catalog);
  }
  static HttpOptions Options(const ProxyConfig& proxy) {
    HttpOptions options;
    options.connect_timeout = std::chrono::milliseconds(2000);
    options.idle_timeout = std::chrono::milliseconds(1500);
    options.proxy = proxy;
    return options;
  }
  /// The pull's error, after a look that nothing was left.
  absl::Status Fails(const std::string& reference, const std::vector<Credentials>& credentials = {}) {
    const auto result = puller->Pull({reference, credentials, nullptr});
    INFO(result.status().ToString());
    REQUIRE_FALSE(result.ok());
    for (const char* name : {"layers", "images", "refs", "tmp"}) {
      INFO(name);
      CHECK(CountEntries(dir / name) == 0);
    }
    CHECK(catalog->List().empty());
    CHECK(std::string(result.status().message()).find("failed to pull and unpack image \"") == 0);
    return result.status();
  }

  TempDir dir;
  RegistryClient registry;
  std::unique_ptr<LayerStore> layers;
  std::unique_ptr<ImageCatalog> catalog;
  std::unique_ptr<Puller> puller;
};

TestImage TwoLayers() {
  return MakeImage({GzipLayer(TarBuilder().File("a", "first").Finish()),
                    GzipLayer(TarBuilder().File("b", std::string(200'000, 'b')).Finish())});
}

bool Says(const absl::Status& status, const std::string& text) {
  return std::string(status.message()).find(text) != std::string::npos;
}

bool IsLayer(const ServerRequest& request, const TestImage& image, std::size_t index) {
  return request.target.find("/blobs/" + DigestOf(image.layers[index].blob).text()) != std::string::npos;
}

/// What goes wrong at the second layer's blob.
absl::Status BadSecondLayer(const std::function<void(Connection&, const std::string& blob)>& answer) {
  const TestImage image = TwoLayers();
  FakeRegistry registry([&](const ServerRequest& request, Connection& connection) {
    if (!IsLayer(request, image, 1)) return false;
    answer(connection, image.layers[1].blob);
    return true;
  });
  registry.Add("app", "v1", image);
  Rig rig;
  const absl::Status status = rig.Fails(registry.host() + "/app:v1");
  CHECK(ReasonOf(status) == "ErrImagePull");
  return status;
}

}  // namespace

TEST_CASE("a blob that breaks off, hangs, lies about its length or content leaves nothing", "[hostile]") {
  SECTION("cut connection") {
    const auto status = BadSecondLayer([](Connection& c, const std::string& blob) {
      c.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(blob.size()) + "\r\n\r\n" +
             blob.substr(0, blob.size() / 2));
    });
    CHECK(Says(status, "broke after"));
  }
  SECTION("hang in the middle") {
    const auto status = BadSecondLayer([](Connection& c, const std::string& blob) {
      c.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(blob.size()) + "\r\n\r\n" + blob.substr(0, 50));
      c.Hang();
    });
    CHECK(Says(status, "stopped sending"));
  }
  SECTION("longer by its header") {
    const auto status =
        BadSecondLayer([](Connection& c, const std::string& blob) { c.SendResponse(200, blob + "more"); });
    CHECK(Says(status, "the manifest says"));
  }
  SECTION("endless without a length") {
    const auto status = BadSecondLayer([](Connection& c, const std::string& blob) {
      c.Send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + blob);
      while (c.Send(std::string(65536, 'x'))) {
      }
    });
    CHECK(Says(status, "longer than"));
  }
  SECTION("short without a length") {
    const auto status = BadSecondLayer([](Connection& c, const std::string& blob) {
      c.Send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + blob.substr(0, 30));
    });
    CHECK_FALSE(status.ok());
  }
  SECTION("other content of the same length") {
    const auto status = BadSecondLayer([](Connection& c, const std::string& blob) {
      std::string other = Gzip(TarBuilder().File("b", std::string(200'000, 'c')).Finish());
      other.resize(blob.size(), '\0');
      c.SendResponse(200, other);
    });
    CHECK_FALSE(status.ok());
  }
  SECTION("server error with words") {
    const auto status = BadSecondLayer([](Connection& c, const std::string&) {
      c.SendResponse(503, R"({"errors":[{"code":"UNAVAILABLE","message":"storage is on fire\u001b[31m"}]})");
    });
    CHECK(Says(status, "503"));
    CHECK(Says(status, "storage is on fire"));
    CHECK_FALSE(Says(status, "\x1b"));
  }
  SECTION("endless headers") {
    const auto status = BadSecondLayer([](Connection& c, const std::string&) {
      c.Send("HTTP/1.1 200 OK\r\n");
      while (c.Send("X-Filler: " + std::string(65536, 'x') + "\r\n")) {
      }
    });
    CHECK_FALSE(status.ok());
  }
  SECTION("one endless chunk") {
    const auto status = BadSecondLayer([](Connection& c, const std::string&) {
      c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n");
      while (c.Send(std::string(65536, 'x'))) {
      }
    });
    CHECK(Says(status, "oversized"));
  }
  SECTION("no HTTP at all") {
    const auto status =
        BadSecondLayer([](Connection& c, const std::string&) { c.Send("SSH-2.0-OpenSSH_9.2\r\n\r\n"); });
    CHECK_FALSE(status.ok());
  }
  SECTION("closed without a word") {
    const auto status = BadSecondLayer([](Connection&, const std::string&) {});
    CHECK_FALSE(status.ok());
  }
}

TEST_CASE("a well-behaved chunked blob is fine", "[hostile]") {
  const TestImage image = TwoLayers();
  FakeRegistry registry([&](const ServerRequest& request, Connection& c) {
    if (!IsLayer(request, image, 1)) return false;
    std::string body = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (std::size_t at = 0; at < image.layers[1].blob.size(); at += 100) {
      const std::string piece = image.layers[1].blob.substr(at, 100);
      char size[16];
      std::snprintf(size, sizeof(size), "%zx\r\n", piece.size());
      body += size + piece + "\r\n";
    }
    c.Send(body + "0\r\n\r\n");
    return true;
  });
  registry.Add("app", "v1", image);
  Rig rig;
  const auto result = rig.puller->Pull({registry.host() + "/app:v1", {}, nullptr});
  INFO(result.status().ToString());
  CHECK(result.ok());
}

TEST_CASE("content that is not what config and manifest promise leaves nothing", "[hostile]") {
  FakeRegistry registry;
  Rig rig;
  const std::string tar = TarBuilder().File("a", "a").Finish();
  SECTION("diffID of another layer") {
    TestLayer layer = GzipLayer(tar);
    layer.diff_id = DigestOf("something else").text();
    registry.Add("app", "v1", MakeImage({layer}));
    CHECK(Says(rig.Fails(registry.host() + "/app:v1"), "diffID"));
  }
  SECTION("config of another digest") {
    TestImage image = MakeImage({GzipLayer(tar)});
    registry.Add("app", "v1", image);
    std::string other = image.config;
    other[other.size() / 2] ^= 1;
    registry.SetBlob(image.ConfigDigest(), other);
    CHECK(Says(rig.Fails(registry.host() + "/app:v1"), "digest"));
  }
  SECTION("manifest of another digest than asked for") {
    const TestImage image = MakeImage({GzipLayer(tar)});
    const std::string wanted = DigestOf("wanted").text();
    registry.AddManifest("app", wanted, image.manifest_type, image.manifest);
    CHECK(Says(rig.Fails(registry.host() + "/app@" + wanted), "digest"));
  }
  SECTION("a config with another number of layers") {
    TestImage image = MakeImage({GzipLayer(tar), GzipLayer(TarBuilder().File("b").Finish())});
    const TestImage one = MakeImage({GzipLayer(tar)});
    Json manifest = *ParseJson(image.manifest, 1 << 20);
    manifest.object["config"] = DescriptorJson("application/vnd.docker.container.image.v1+json", one.config);
    image.config = one.config;
    image.manifest = manifest.Dump();
    registry.Add("app", "v1", image);
    CHECK(Says(rig.Fails(registry.host() + "/app:v1"), "mismatched image rootfs and manifest layers"));
  }
  SECTION("an index that holds itself in circles") {
    // By tag only: a digest can't close a circle.
    std::string inner = MakeIndex(MakeImage({}), true);
    for (int i = 0; i < 6; ++i) {
      registry.AddManifest("app", DigestOf(inner).text(), "application/vnd.oci.image.index.v1+json", inner);
      TestImage fake;
      fake.manifest = inner;
      fake.manifest_type = "application/vnd.oci.image.index.v1+json";
      inner = MakeIndex(fake, true);
    }
    registry.AddManifest("app", "v1", "application/vnd.oci.image.index.v1+json", inner);
    CHECK(Says(rig.Fails(registry.host() + "/app:v1"), "nested"));
  }
  SECTION("an oversized manifest") {
    registry.AddManifest("app", "v1", "application/vnd.oci.image.manifest.v1+json", std::string(5u << 20, ' '));
    CHECK(Says(rig.Fails(registry.host() + "/app:v1"), "larger than"));
  }
  SECTION("docker schema 1") {
    registry.AddManifest("app", "v1", "application/vnd.docker.distribution.manifest.v1+prettyjws",
                         R"({"schemaVersion":1,"fsLayers":[]})");
    CHECK(Says(rig.Fails(registry.host() + "/app:v1"), "schema 1"));
  }
  SECTION("an archive that climbs") {
    registry.Add("app", "v1", MakeImage({GzipLayer(TarBuilder().File("../x", "x").Finish())}));
    CHECK(Says(rig.Fails(registry.host() + "/app:v1"), "unpack \"../x\""));
  }
}

TEST_CASE("a gzip bomb ends at the layer limit", "[hostile]") {
  FakeRegistry registry;
  RegistryConfig config;
  config.max_layer_bytes = 10u << 20;
  Rig rig(config);
  registry.Add("app", "v1", MakeImage({GzipLayer(TarBuilder().File("bomb", std::string(100u << 20, '\0')).Finish())}));
  CHECK(rig.Fails(registry.host() + "/app:v1").code() == absl::StatusCode::kResourceExhausted);
}

TEST_CASE("a registry that can't be reached is RegistryUnavailable", "[hostile]") {
  Rig rig;
  const absl::Status refused = rig.Fails("127.0.0.1:" + std::to_string(FreePort()) + "/app:v1");
  CHECK(ReasonOf(refused) == "RegistryUnavailable");
  const absl::Status unknown = rig.Fails("no-such-host.invalid/app:v1");
  CHECK(ReasonOf(unknown) == "RegistryUnavailable");
  CHECK(Says(unknown, "lookup no-such-host.invalid"));
}

TEST_CASE("a registry that accepts and says nothing times out", "[hostile]") {
  FakeRegistry registry([](const ServerRequest&, Connection& c) {
    c.Hang();
    return true;
  });
  Rig rig;
  const absl::Status status = rig.Fails(registry.host() + "/app:v1");
  CHECK(Says(status, "timed out"));
  CHECK(ReasonOf(status) == "RegistryUnavailable");
}

TEST_CASE("a proxy from the environment is used for remote registries, by CONNECT for TLS", "[hostile][proxy]") {
  const TestImage image = TwoLayers();
  std::string login;
  FakeRegistry proxy([&](const ServerRequest& request, Connection& c) {
    const auto header = request.headers.find("proxy-authorization");
    login = header == request.headers.end() ? "" : header->second;
    if (request.method != "CONNECT") return false;
    c.SendResponse(403, "no tunnels");
    return true;
  });
  proxy.Add("app", "v1", image);
  RegistryConfig config;
  config.plain_http_hosts = {"registry.test:5000"};
  const std::string address = "http://carl:pro%40xy@" + proxy.host();
  Rig rig(config, {address, address, ""});
  const auto plain = rig.puller->Pull({"registry.test:5000/app:v1", {}, nullptr});
  INFO(plain.status().ToString());
  REQUIRE(plain.ok());
  CHECK(proxy.server().Count("http://registry.test:5000/v2/app/") == 4);
  CHECK(login == "Basic Y2FybDpwcm9AeHk=");
  const auto tls = rig.puller->Pull({"secure.test/app:v1", {}, nullptr});
  CHECK_FALSE(tls.ok());
  CHECK(proxy.server().Count("secure.test:443") == 1);
}

TEST_CASE("redirects are followed a few times, and never with credentials to another origin", "[hostile]") {
  const TestImage image = TwoLayers();
  FakeRegistry elsewhere;
  elsewhere.Add("app", "v1", image);
  SECTION("to another port: no Authorization there") {
    FakeRegistry registry([&](const ServerRequest& request, Connection& c) {
      if (request.headers.count("authorization") == 0 && request.target != "/v2/") {
        c.SendResponse(401, "", "WWW-Authenticate: Basic realm=\"x\"\r\n");
      } else if (request.target.find("/blobs/") != std::string::npos) {
        c.SendResponse(307, "", "Location: http://" + elsewhere.host() + request.target + "\r\n");
      } else {
        return false;
      }
      return true;
    });
    registry.Add("app", "v1", image);
    Rig rig;
    const auto result =
        rig.puller->Pull({registry.host() + "/app:v1", {Credentials{"alice", "secret", "", ""}}, nullptr});
    INFO(result.status().ToString());
    REQUIRE(result.ok());
    const auto requests = elsewhere.server().requests();
    CHECK(requests.size() == 3);
    for (const ServerRequest& request : requests) CHECK(request.headers.count("authorization") == 0);
  }
  SECTION("a loop ends") {
    FakeRegistry registry([&](const ServerRequest& request, Connection& c) {
      if (request.target.find("/blobs/") == std::string::npos) return false;
      c.SendResponse(302, "", "Location: " + request.target + "\r\n");
      return true;
    });
    registry.Add("app", "v1", image);
    Rig rig;
    CHECK(Says(rig.Fails(registry.host() + "/app:v1"), "redirects"));
    CHECK(registry.server().Count("/v2/app/blobs/") == 6);
  }
  SECTION("to strange places") {
    for (const std::string location :
         {"", "file:///etc/passwd", "http://[", "http://169.254.169.254/latest/meta-data"}) {
      INFO(location);
      FakeRegistry registry([&](const ServerRequest& request, Connection& c) {
        if (request.target.find("/blobs/") == std::string::npos) return false;
        c.SendResponse(302, "", "Location: " + location + "\r\n");
        return true;
      });
      registry.Add("app", "v1", image);
      Rig rig;
      CHECK(Says(rig.Fails(registry.host() + "/app:v1"), "redirect"));
    }
  }
}

}  // namespace burstlet::cache
