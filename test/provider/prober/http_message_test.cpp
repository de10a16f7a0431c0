// Requests as a kubelet sends them; answers of containers that mean well and of others.
#include "provider/prober/http_message.h"

#include <catch2/catch.hpp>
#include <string>

#include "provider/prober/outcome.h"

namespace burstlet::provider {
namespace {

using State = HttpResponseReader::State;

HttpRequest Request(const std::string& path, std::vector<kube::HTTPHeader> headers = {}) {
  kube::HTTPGetAction action;
  action.path = path;
  action.port.number = 8080;
  action.httpHeaders = std::move(headers);
  auto request = MakeHttpRequest(action, kube::Container{}, "10.0.0.7", "probe");
  REQUIRE(request.ok());
  return *request;
}

State FeedByByte(HttpResponseReader& reader, const std::string& text) {
  for (const char c : text) reader.Feed(std::string(1, c));
  return reader.state();
}

}  // namespace

TEST_CASE("a probe's request is a kubelet's", "[prober]") {
  CHECK(Request("/healthz").Text() ==
        "GET /healthz HTTP/1.1\r\nHost: 10.0.0.7:8080\r\nUser-Agent: kube-probe/1.37\r\nAccept: */*\r\nConnection: "
        "close\r\n\r\n");
  const std::string own = Request("a b?x=1#f", {{"host", "example.test"},
                                                {"x-mine", "1"},
                                                {"X-Mine", "2"},
                                                {"user-agent", ""},
                                                {"accept", ""},
                                                {"Bad", "a\r\nInjected: 1"}})
                              .Text();
  CHECK(own ==
        "GET /a%20b?x=1 HTTP/1.1\r\nHost: example.test\r\nBad: a  Injected: 1\r\nX-Mine: 1\r\nX-Mine: 2\r\nConnection: "
        "close\r\n\r\n");
  CHECK(Request("").target == "/");
  CHECK(Request("/100%?a").target == "/100%25%3Fa");
}

TEST_CASE("ports go by number, by name, and by a number in quotes", "[prober]") {
  kube::Container container;
  container.ports.resize(1);
  container.ports[0].name = "http";
  container.ports[0].containerPort = 81;
  CHECK(ResolvePort({0, "http"}, container).value() == 81);
  CHECK(ResolvePort({0, "82"}, container).value() == 82);
  CHECK(ResolvePort({83, ""}, container).value() == 83);
  CHECK_FALSE(ResolvePort({0, "nothing"}, container).ok());
  CHECK_FALSE(ResolvePort({0, ""}, container).ok());
  CHECK_FALSE(ResolvePort({70000, ""}, container).ok());
}

TEST_CASE("a Location is followed as a browser would", "[prober]") {
  const HttpRequest from = Request("/a/b?x");
  CHECK(FollowLocation(from, "/c")->Url() == "http://10.0.0.7:8080/c");
  CHECK(FollowLocation(from, "c")->Url() == "http://10.0.0.7:8080/a/c");
  CHECK(FollowLocation(from, "?y")->Url() == "http://10.0.0.7:8080/a/b?y");
  CHECK(FollowLocation(from, "https://10.0.0.7/d")->Url() == "https://10.0.0.7:443/d");
  CHECK(FollowLocation(from, "http://[fd00::1]:81")->Url() == "http://[fd00::1]:81/");
  CHECK(FollowLocation(from, "//other")->host == "other");
  CHECK_FALSE(FollowLocation(from, "http://:99999/").has_value());
}

TEST_CASE("an answer may come in any pieces", "[prober]") {
  HttpResponseReader length;
  CHECK(FeedByByte(length, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") ==
        State::kDone);
  CHECK(length.status() == 200);
  CHECK(length.body() == "hello");

  HttpResponseReader chunks;
  CHECK(
      FeedByByte(chunks,
                 "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n") ==
      State::kDone);
  CHECK(chunks.status() == 500);
  CHECK(chunks.body() == "abcde");

  HttpResponseReader closed;
  CHECK(closed.Feed("HTTP/1.0 302 Found\nLocation: /x\n\nbody") == State::kMore);
  CHECK(closed.Close() == State::kDone);
  CHECK(closed.location() == "/x");
  CHECK(closed.body() == "body");

  HttpResponseReader none;
  CHECK(none.Feed("HTTP/1.1 204 No Content\r\n\r\n") == State::kDone);
}

TEST_CASE("what a container sends is bounded", "[prober]") {
  HttpResponseReader large;
  CHECK(large.Feed("HTTP/1.1 200 OK\r\n\r\n" + std::string(100000, 'x')) == State::kDone);
  CHECK(large.body().size() == kMaxProbeOutput);
  HttpResponseReader head;
  CHECK(head.Feed("HTTP/1.1 200 OK\r\nX: " + std::string(100000, 'x')) == State::kBad);
  HttpResponseReader chunk;
  CHECK(chunk.Feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(10000, '1')) == State::kBad);
  HttpResponseReader size;
  CHECK(size.Feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n") == State::kBad);
}

TEST_CASE("an answer that is none, or breaks off, is bad", "[prober]") {
  HttpResponseReader ssh;
  CHECK(ssh.Feed("SSH-2.0-OpenSSH_9\r\n\r\n") == State::kBad);
  CHECK_FALSE(ssh.head_complete());
  HttpResponseReader nothing;
  CHECK(nothing.Close() == State::kBad);
  CHECK(nothing.error() == "EOF");
  HttpResponseReader broken;
  broken.Feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
  CHECK(broken.Close() == State::kBad);
  CHECK(broken.head_complete());
}

}  // namespace burstlet::provider
