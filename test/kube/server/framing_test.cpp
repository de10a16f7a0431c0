// The I/O-free parts: routes, targets, upgrades, WebSocket and SPDY frames.
#include <catch2/catch.hpp>
#include <variant>

#include "kube/server/exec_session.h"
#include "kube/server/http_message.h"
#include "kube/server/router.h"
#include "kube/server/spdy.h"
#include "kube/server/upgrade.h"
#include "kube/server/websocket.h"

namespace burstlet::kube::test {
namespace {

TEST_CASE("paths name containers with and without a uid", "[router]") {
  const Route plain = Classify("POST", "/exec/ns/pod/box");
  CHECK(plain.endpoint == Endpoint::kExec);
  CHECK(plain.container.container == "box");
  CHECK(plain.container.uid.empty());
  CHECK(plain.verb == "create");
  const Route with_uid = Classify("GET", "/attach/ns/pod/1-2-3/box");
  CHECK(with_uid.endpoint == Endpoint::kAttach);
  CHECK(with_uid.container.uid == "1-2-3");
  CHECK(with_uid.container.container == "box");
  CHECK(Classify("GET", "/portForward/ns/pod").endpoint == Endpoint::kPortForward);
  CHECK(Classify("GET", "/portForward/ns/pod/uid").container.uid == "uid");
  for (const char* path : {"/exec/ns/pod", "/exec/ns//box", "/exec/ns/../box", "/exec/a/b/c/d/e", "/containerLogs/a/b",
                           "/containerLogs/a/b/c/d", "/portForward/ns", "", "/", "/exec"}) {
    INFO(path);
    CHECK(Classify("GET", path).endpoint == Endpoint::kNotFound);
  }
  CHECK_FALSE(Classify("DELETE", "/exec/ns/pod/box").method_allowed);
}

TEST_CASE("targets are decoded, malformed ones refused", "[http]") {
  HttpRequest request;
  REQUIRE(ParseTarget("/exec/a%20b?command=x+y&command=%2Fz&flag&=v", &request).ok());
  CHECK(request.path == "/exec/a b");
  CHECK(request.QueryAll("command") == std::vector<std::string>{"x y", "/z"});
  CHECK(request.HasQuery("flag"));
  for (const char* target : {"", "x", "*", "/%", "/%2", "/%zz", "/?%4", "/%00"}) {
    HttpRequest bad;
    INFO(target);
    CHECK_FALSE(ParseTarget(target, &bad).ok());
  }
}

HttpRequest WebSocketRequest(const std::string& protocols) {
  HttpRequest request;
  request.method = "GET";
  request.headers = {{"connection", "keep-alive, Upgrade"},
                     {"UPGRADE", "WebSocket"},
                     {"Sec-WebSocket-Version", "13"},
                     {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
  if (!protocols.empty()) request.headers.emplace_back("Sec-WebSocket-Protocol", protocols);
  return request;
}

TEST_CASE("an upgrade takes the best version both know", "[upgrade]") {
  UpgradeOffer offer;
  offer.websocket = {"v5.channel.k8s.io", "v4.channel.k8s.io"};
  offer.spdy = {"v4.channel.k8s.io"};
  const auto chosen = [&](const HttpRequest& request) {
    const auto choice = ChooseUpgrade(request, offer);
    return std::holds_alternative<Upgrade>(choice) ? std::get<Upgrade>(choice).protocol
                                                   : std::to_string(std::get<HttpResponse>(choice).status);
  };
  CHECK(chosen(WebSocketRequest("v4.channel.k8s.io, v5.channel.k8s.io")) == "v5.channel.k8s.io");
  CHECK(chosen(WebSocketRequest("x, v4.channel.k8s.io")) == "v4.channel.k8s.io");
  CHECK(chosen(WebSocketRequest("")).empty());
  CHECK(chosen(WebSocketRequest("x")) == "403");
  HttpRequest request = WebSocketRequest("");
  request.headers[2].second = "8";
  CHECK(chosen(request) == "426");
  request = WebSocketRequest("");
  request.headers[3].second = "short";
  CHECK(chosen(request) == "400");
  request = WebSocketRequest("");
  request.headers.erase(request.headers.begin());
  CHECK(chosen(request) == "400");
  // RFC 6455's own example.
  CHECK(WebSocketAccept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

class Messages : public WebSocketSink {
 public:
  absl::Status OnMessage(std::string_view piece, bool begins, bool ends) override {
    if (begins) text += "<";
    text += piece;
    if (ends) text += ">";
    return absl::OkStatus();
  }
  void OnPing(std::string_view payload) override { text += "ping:" + std::string(payload) + ";"; }
  void OnClose(std::uint16_t code) override { text += "close:" + std::to_string(code); }
  std::string text;
};

TEST_CASE("WebSocket messages may be cut anywhere, with pings between their frames", "[websocket]") {
  const std::string zero_mask("\x00\x00\x00\x00", 4);
  const std::string bytes = "\x02\x83" + zero_mask + "abc" + "\x89\x81" + zero_mask + "p" + "\x80\x82" + zero_mask +
                            "de" + "\x82\x80" + zero_mask + "\x88\x82" + zero_mask + "\x03\xE8" + "ignored";
  for (std::size_t piece = 1; piece < bytes.size(); ++piece) {
    Messages messages;
    WebSocketDecoder decoder;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      REQUIRE(decoder.Feed(std::string_view(bytes).substr(at, piece), messages).ok());
    }
    CHECK(messages.text == "<abcping:p;de><>close:1000");
  }
}

TEST_CASE("base64 is decoded in pieces and strictly", "[websocket]") {
  for (std::size_t piece = 1; piece < 9; ++piece) {
    Base64Decoder decoder;
    std::string out;
    const std::string text = EncodeBase64("hello");
    for (std::size_t at = 0; at < text.size(); at += piece) REQUIRE(decoder.Feed(text.substr(at, piece), &out));
    CHECK(out == "hello");
    CHECK(decoder.Finish());
  }
  for (const char* text : {"=", "A=", "A===", "AA=A", "AA==AA==", "A*", "AAA==", "===="}) {
    Base64Decoder decoder;
    std::string out;
    INFO(text);
    CHECK_FALSE(decoder.Feed(text, &out));
  }
}

class Frames : public SpdySink {
 public:
  void OnSynStream(std::uint32_t id, const SpdyHeaders& headers, bool) override {
    text += "syn" + std::to_string(id) + "(" + SpdyHeader(headers, "streamtype") + ")";
  }
  void OnSynReply(std::uint32_t id) override { text += "reply" + std::to_string(id); }
  void OnData(std::uint32_t id, std::string_view piece, bool fin) override {
    if (last_ != id) text += "data" + std::to_string(id) + ":";
    last_ = id;
    text += piece;
    if (fin) text += "|";
  }
  void OnReset(std::uint32_t id, std::uint32_t status) override {
    text += "rst" + std::to_string(id) + "," + std::to_string(status);
  }
  void OnPing(std::uint32_t id) override { text += "ping" + std::to_string(id); }
  void OnGoAway() override { text += "away"; }
  std::string text;

 private:
  std::uint32_t last_ = 0;
};

TEST_CASE("SPDY frames may be cut anywhere", "[spdy]") {
  SpdyEncoder encoder;
  std::string bytes;
  encoder.SynStream(1, {{"streamtype", "stdin"}, {"x", std::string(5000, 'y')}}, &bytes);
  encoder.SynStream(3, {{"streamtype", "error"}}, &bytes);
  encoder.Data(1, "abc", false, &bytes);
  encoder.Data(1, "", true, &bytes);
  encoder.SynReply(2, &bytes);
  encoder.Reset(3, SpdyReset::kCancel, &bytes);
  encoder.Ping(5, &bytes);
  encoder.GoAway(1, &bytes);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{100}, bytes.size()}) {
    Frames frames;
    SpdyDecoder decoder;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      REQUIRE(decoder.Feed(std::string_view(bytes).substr(at, piece), frames).ok());
    }
    CHECK(frames.text == "syn1(stdin)syn3(error)data1:abc|reply2rst3,5ping5away");
  }
}

TEST_CASE("SPDY headers that unpack to too much are refused", "[spdy]") {
  SpdyEncoder encoder;
  std::string bytes;
  encoder.SynStream(1, {{"bomb", std::string(200000, 'a')}}, &bytes);
  CHECK(bytes.size() < 10000);
  Frames frames;
  SpdyDecoder decoder;
  CHECK_FALSE(decoder.Feed(bytes, frames).ok());
}

TEST_CASE("terminal sizes come out of a stream of objects", "[exec]") {
  ResizeParser parser;
  std::string seen;
  const auto note = [&](std::uint16_t width, std::uint16_t height) {
    seen += std::to_string(width) + "x" + std::to_string(height) + " ";
  };
  for (const char c : std::string(R"({"Width":80,"Height":24}
{"width": 1, "height": 2}{"Width":99999,"Height":1}{"Width":0,"Height":0}{"Width":-5,"Height":5}{}{"Width":3,"Height":4})")) {
    parser.Feed(std::string_view(&c, 1), note);
  }
  CHECK(seen == "80x24 1x2 3x4 ");
  parser.Feed("{" + std::string(10000, ' '), note);
  parser.Feed(R"("Width":5,"Height":5})", note);
  CHECK(seen == "80x24 1x2 3x4 ");
}

TEST_CASE("a failure's text is quoted as JSON", "[exec]") {
  CHECK(
      FailureMessage(absl::InternalError("a \"b\"\n\x01\\"), true) ==
      R"({"metadata":{},"status":"Failure","message":"Internal error occurred: error executing command in container: )"
      R"(a \"b\"\n\u0001\\","reason":"InternalError","code":500})");
}

}  // namespace
}  // namespace burstlet::kube::test
