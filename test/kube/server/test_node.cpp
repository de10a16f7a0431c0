#include "test/kube/server/test_node.h"

#include <catch2/catch.hpp>

namespace burstlet::kube::test {

TestNode::TestNode() : ca_(MakeCa("test-ca")) {
  CertificateRequest request;
  request.common_name = "the-node";
  request.server = true;
  serving_ = Issue(ca_, request);
  request = CertificateRequest();
  request.common_name = "admin";
  request.organizations = {"system:masters"};
  admin_ = Issue(ca_, request);
  dir_.Write("tls.crt", serving_.cert_pem);
  dir_.Write("tls.key", serving_.key_pem);
  dir_.Write("ca.crt", ca_.cert_pem);
}

KubeletServerConfig TestNode::Config() const {
  KubeletServerConfig config;
  config.address = "127.0.0.1";
  config.port = 0;
  config.tls_cert_file = dir_.path() + "/tls.crt";
  config.tls_key_file = dir_.path() + "/tls.key";
  config.client_ca_file = dir_.path() + "/ca.crt";
  config.node_name = "the-node";
  return config;
}

void TestNode::Allow(const std::string& user, const std::string& verb, const std::string& subresource) {
  const std::lock_guard<std::mutex> lock(mutex_);
  allowed_.insert(user + " " + verb + " " + subresource);
}

void TestNode::Start(const Change& change) {
  KubeletServerConfig config = Config();
  KubeletHandlers handlers;
  handlers.pods_json = [] { return std::string(R"({"kind":"PodList"})"); };
  handlers.running_pods_json = [] { return std::string(R"({"kind":"PodList","items":[]})"); };
  handlers.configz_json = [] { return std::string("{}"); };
  handlers.metrics = [](Reply<std::string> reply) { reply(std::string("up 1\n")); };
  handlers.metrics_resource = [](Reply<std::string> reply) { reply(std::string("node_cpu 1\n")); };
  handlers.stats_summary = [](bool only, Reply<std::string> reply) { reply(std::string(only ? "{\"o\":1}" : "{}")); };
  handlers.review_token = [this](const std::string& token, Reply<TokenReviewStatus> reply) {
    ++token_reviews_;
    TokenReviewStatus status;
    status.authenticated = token.rfind("good-", 0) == 0;
    if (status.authenticated) status.user.username = token.substr(5);
    reply(status);
  };
  handlers.review_access = [this](const SubjectAccessReviewSpec& spec, Reply<SubjectAccessReviewStatus> reply) {
    ++access_reviews_;
    SubjectAccessReviewStatus status;
    const ResourceAttributes& wanted = *spec.resourceAttributes;
    std::unique_lock<std::mutex> lock(mutex_);
    status.allowed =
        wanted.name == "the-node" && wanted.resource == "nodes" &&
        (spec.user == "admin" || allowed_.count(spec.user + " " + wanted.verb + " " + wanted.subresource) != 0);
    lock.unlock();  // the answer may lead to the next question
    reply(status);
  };
  if (change) change(config, handlers);
  auto server = KubeletServer::Start(config, handlers);
  REQUIRE(server.ok());
  server_ = std::move(server).value();
}

}  // namespace burstlet::kube::test
