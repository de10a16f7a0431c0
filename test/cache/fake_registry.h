// A scripted registry: serves images as it should, except where a test says otherwise.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "test/cache/image_builder.h"
#include "test/cache/plain_http.h"

namespace burstlet::cache::test {

class FakeRegistry {
 public:
  /// Returns true when it has answered itself.
  using Hook = std::function<bool(const ServerRequest&, Connection&)>;

  explicit FakeRegistry(Hook hook = nullptr)
      : hook_(std::move(hook)),
        server_([this](const ServerRequest& request, Connection& connection) { Serve(request, connection); }) {}

  void Add(const std::string& repository, const std::string& tag, const TestImage& image) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const TestLayer& layer : image.layers) blobs_[DigestOf(layer.blob).text()] = layer.blob;
    blobs_[image.ConfigDigest()] = image.config;
    for (const std::string& name : {tag, image.ManifestDigest()})
      manifests_[repository + "/manifests/" + name] = {image.manifest_type, image.manifest};
  }
  void AddManifest(const std::string& repository, const std::string& name, const std::string& type,
                   const std::string& body) {
    const std::lock_guard<std::mutex> lock(mutex_);
    manifests_[repository + "/manifests/" + name] = {type, body};
  }
  void SetBlob(const std::string& digest, const std::string& content) {
    const std::lock_guard<std::mutex> lock(mutex_);
    blobs_[digest] = content;
  }

  std::string host() const { return server_.host(); }
  PlainServer& server() { return server_; }
  int Blobs(const std::string& repository) const { return server_.Count("/v2/" + repository + "/blobs/"); }

 private:
  void Serve(const ServerRequest& request, Connection& connection) {
    if (hook_ && hook_(request, connection)) return;
    if (request.target == "/v2/") {
      connection.SendResponse(200, "{}");
      return;
    }
    std::string type = "application/octet-stream", body;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const std::size_t start = request.target.find("/v2/");  // a proxy gets the whole URL
      const std::string target = start == std::string::npos ? "" : request.target.substr(start + 4);
      const std::size_t blob = target.find("/blobs/");
      if (blob != std::string::npos && blobs_.count(target.substr(blob + 7)) != 0) {
        body = blobs_[target.substr(blob + 7)];
      } else if (manifests_.count(target) != 0) {
        std::tie(type, body) = manifests_[target];
      } else {
        type.clear();
      }
    }
    if (type.empty()) {
      connection.SendResponse(404, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})");
    } else {
      connection.SendResponse(200, body, "Content-Type: " + type + "\r\n");
    }
  }

  Hook hook_;
  mutable std::mutex mutex_;
  std::map<std::string, std::pair<std::string, std::string>> manifests_;
  std::map<std::string, std::string> blobs_;
  PlainServer server_;  // last: it stops first
};

}  // namespace burstlet::cache::test
