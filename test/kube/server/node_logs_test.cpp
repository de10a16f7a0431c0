// The node's logs over HTTP: what is asked, what is refused, and how folders, files and streams are sent.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "kube/server/node_logs.h"
#include "metrics/log.h"
#include "test/kube/server/test_node.h"

namespace burstlet::kube::test {
namespace {

absl::StatusOr<std::optional<NodeLogQuery>> Parse(const std::string& query) {
  HttpRequest request;
  REQUIRE(ParseTarget("/logs/?" + query, &request).ok());
  return ParseNodeLogQuery(request);
}

/// The complaint, and whether it is about the form (400) or the content (406).
std::string Complaint(const std::string& query) {
  const auto parsed = Parse(query);
  REQUIRE(!parsed.ok());
  const std::string code = absl::IsInvalidArgument(parsed.status()) ? "400 "
                           : absl::IsOutOfRange(parsed.status())    ? "406 "
                                                                    : "? ";
  return code + std::string(parsed.status().message());
}

/// Answers as told and remembers what was asked.
struct LogNode {
  explicit LogNode(bool queries = true) {
    node.Start([this, queries](KubeletServerConfig& config, KubeletHandlers& handlers) {
      config.node_log_queries = queries;
      handlers.node_logs = [this](const NodeLogRequest& request, const auto& reply) {
        asked = request;
        reply(answer(request));
      };
    });
  }
  ClientResponse Get(const std::string& target) { return Fetch(node.port(), node.admin(), "GET", target); }

  NodeLogRequest asked;
  std::function<absl::StatusOr<NodeLogSource>(const NodeLogRequest&)> answer;
  TestNode node;
};

NodeLogSource OpenFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
  NodeLogSource source;
  source.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  source.size = static_cast<std::int64_t>(content.size());
  return source;
}

}  // namespace

TEST_CASE("a node log query is read whole", "[node_logs]") {
  const auto all = Parse(
      "query=kubelet&query=docker.service&sinceTime=2026-01-02T03:04:05Z&untilTime=2026-01-02T04:04:06%2B01:00"
      "&tailLines=100&boot=-2&pattern=a.*b");
  REQUIRE(all.ok());
  REQUIRE(all->has_value());
  const NodeLogQuery& query = **all;
  CHECK(query.services == std::vector<std::string>{"kubelet", "docker.service"});
  CHECK(query.file.empty());
  CHECK(query.since_time == 1767323045);
  CHECK(query.until_time == 1767323046);
  CHECK(query.tail_lines == 100);
  CHECK(query.boot == -2);
  CHECK(query.pattern == "a.*b");
  const auto file = Parse("query=%5Cnginx%5Caccess.log");
  REQUIRE(file.ok());
  CHECK((*file)->file == "/nginx/access.log");
  CHECK(!(*file)->has_options());
  const auto nothing = Parse("other=1");
  REQUIRE(nothing.ok());
  CHECK(!nothing->has_value());
}

TEST_CASE("what is wrong with a node log query is told by name", "[node_logs]") {
  CHECK(Complaint("query=") == "400 query: Invalid value: \"\": may not be empty");
  CHECK(Complaint("query=%20%20") == "400 query: Invalid value: \"  \": may not be empty");
  CHECK(Complaint("query=a&sinceTime=yesterday").rfind("400 sinceTime: Invalid value: \"yesterday\": ", 0) == 0);
  CHECK(Complaint("query=a&untilTime=12").rfind("400 untilTime: ", 0) == 0);
  CHECK(Complaint("query=a&boot=x") == "400 boot: Invalid value: \"x\": must be a whole number");
  CHECK(Complaint("query=a&tailLines=1.5") == "400 tailLines: Invalid value: \"1.5\": must be a whole number");
  CHECK(Complaint("query=a&tailLines=99999999999999999999").rfind("400 tailLines: ", 0) == 0);
  // All of them at once.
  CHECK(Complaint("query=a&boot=x&tailLines=y").rfind("400 [boot: Invalid", 0) == 0);
  CHECK(Complaint("tailLines=3") == "406 query: Required value: cannot be empty with options");
  CHECK(Complaint("query=a&boot=1") == "406 boot: Invalid value: \"1\": must be less than 1");
  CHECK(Complaint("query=a&tailLines=100001").find("between 0 and 100000") != std::string::npos);
  CHECK(Complaint("query=a&tailLines=-1").find("between 0 and 100000") != std::string::npos);
  CHECK(Complaint("query=a&query=b/c").find("cannot name a file and a service") != std::string::npos);
  CHECK(Complaint("query=a/b&query=b/c").find("more than one file") != std::string::npos);
  CHECK(Complaint("query=a/b&boot=0").find("not for a file") != std::string::npos);
  CHECK(Complaint("query=a&query=b&query=c&query=d&query=e") == "406 query: Too many: 5: must have at most 4 items");
  CHECK(Complaint("query=a%20b").find("letters, digits") != std::string::npos);
  CHECK(Complaint("query=" + std::string(257, 'a')).find("256") != std::string::npos);
  CHECK(Complaint("query=a&sinceTime=2026-01-02T00:00:01Z&untilTime=2026-01-02T00:00:00Z") ==
        "406 untilTime: Invalid value: \"2026-01-02T00:00:00Z\": must be after `sinceTime`");
}

TEST_CASE("a log folder is a page of links, with the names as they are", "[node_logs]") {
  LogNode log;
  log.answer = [](const NodeLogRequest&) {
    NodeLogSource source;
    source.directory = true;
    source.names = {"a&<b>.log", "folder/", "with space?.log"};
    return source;
  };
  const ClientResponse page = log.Get("/logs/");
  CHECK(page.status == 200);
  CHECK(page.headers.at("content-type") == "text/html; charset=utf-8");
  CHECK(page.body ==
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n"
        "<a href=\"a&%3Cb%3E.log\">a&amp;&lt;b&gt;.log</a>\n<a href=\"folder/\">folder/</a>\n"
        "<a href=\"with%20space%3F.log\">with space?.log</a>\n</pre>\n");
  // The links of a page are relative: its own address ends in a slash.
  const ClientResponse moved = log.Get("/logs/some/folder");
  CHECK(moved.status == 301);
  CHECK(moved.headers.at("location") == "folder/");
  CHECK(log.asked.path == "some/folder");
  CHECK(log.Get("/logs").headers.at("location") == "/logs/");
}

TEST_CASE("a log file is sent whole, and only its present content", "[node_logs]") {
  LogNode log;
  const std::string path = log.node.dir().path() + "/file";
  std::string content(3'000'000, 'x');
  content += "\nlast\n";
  log.answer = [&](const NodeLogRequest&) {
    NodeLogSource source = OpenFile(path, content);
    std::ofstream(path, std::ios::app) << "written later";
    return source;
  };
  const ClientResponse file = log.Get("/logs/file");
  CHECK(file.status == 200);
  CHECK(file.headers.at("content-type") == "text/plain; charset=utf-8");
  CHECK(file.body == content);
  content = std::string("\0\1\2", 3);
  CHECK(log.Get("/logs/wtmp").headers.at("content-type") == "application/octet-stream");
  CHECK(log.Get("/logs/old.gz").headers.at("content-type") == "application/gzip");
  const ClientResponse moved = log.Get("/logs/folder/file/");
  CHECK(moved.status == 301);
  CHECK(moved.headers.at("location") == "../file");
}

TEST_CASE("what a query yields is sent as it comes, to its end", "[node_logs]") {
  LogNode log;
  std::thread writer;
  log.answer = [&](const NodeLogRequest&) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    writer = std::thread([fd = ends[1]] {
      const std::string piece(100'000, 'y');
      for (int i = 0; i < 20; ++i) CHECK(write(fd, piece.data(), piece.size()) == 100'000);
      close(fd);
    });
    NodeLogSource source;
    source.fd = ends[0];
    return source;
  };
  const ClientResponse answer = log.Get("/logs/?query=kubelet&tailLines=5");
  writer.join();
  CHECK(answer.status == 200);
  CHECK(answer.body == std::string(2'000'000, 'y'));
  REQUIRE(log.asked.query.has_value());
  CHECK(log.asked.query->tail_lines == 5);
}

TEST_CASE("log queries count only where they are switched on", "[node_logs]") {
  LogNode on;
  on.answer = [](const NodeLogRequest&) { return NodeLogSource{true, {}, -1, -1}; };
  CHECK(on.Get("/logs/?query=a&boot=x").status == 400);
  CHECK(on.Get("/logs/?query=a&boot=5").status == 406);
  CHECK(on.Get("/logs/file?query=a").status == 406);
  LogNode off(false);
  off.answer = on.answer;
  CHECK(off.Get("/logs/?query=a&boot=x").status == 200);
  CHECK(!off.asked.query.has_value());
}

TEST_CASE("refused logs have a status that says why", "[node_logs]") {
  LogNode log;
  absl::Status refusal;
  log.answer = [&](const NodeLogRequest&) { return refusal; };
  const std::vector<std::pair<absl::Status, int>> cases = {{absl::NotFoundError("log not found: a"), 404},
                                                           {absl::InvalidArgumentError("bad path"), 400},
                                                           {absl::OutOfRangeError("bad pattern"), 406},
                                                           {absl::PermissionDeniedError("leads out"), 403}};
  for (const auto& [status, code] : cases) {
    refusal = status;
    const ClientResponse answer = log.Get("/logs/a");
    CHECK(answer.status == code);
    CHECK(answer.body.find(std::string(status.message())) != std::string::npos);
  }
  TestNode none;
  none.Start();
  const ClientResponse disabled = Fetch(none.port(), none.admin(), "GET", "/logs/");
  CHECK(disabled.status == 405);
  CHECK(disabled.body == "logs endpoint is disabled.\n");
}

TEST_CASE("the verbosity is changed by PUT, and by nothing else", "[debug_flags]") {
  TestNode node;
  node.Start();
  const auto put = [&](const std::string& body) {
    TestClient client(node.port(), node.admin());
    const std::string length = std::to_string(body.size());
    REQUIRE(client.Send("PUT /debug/flags/v HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + "\r\n\r\n" + body));
    return client.ReadResponse();
  };
  const ClientResponse changed = put("7");
  CHECK(changed.status == 200);
  CHECK(changed.body == "successfully set klog.logging.verbosity to 7");
  CHECK(LogEnabled(7));
  CHECK(!LogEnabled(8));
  for (const char* wrong : {"", "x", "-1", "1.5", "99999999999", "3 "}) CHECK(put(wrong).status == 400);
  CHECK(LogEnabled(7));
  CHECK(put("0").status == 200);
  CHECK(!LogEnabled(1));
  CHECK(Fetch(node.port(), node.admin(), "GET", "/debug/flags/v").status == 406);
  CHECK(Fetch(node.port(), node.admin(), "GET", "/debug/pprof/heap").status == 405);
  TestNode off;
  off.Start([](KubeletServerConfig& config, KubeletHandlers&) { config.debug_flags = false; });
  const ClientResponse refused = Fetch(off.port(), off.admin(), "PUT", "/debug/flags/v");
  CHECK(refused.status == 405);
  CHECK(refused.body == "flags endpoint is disabled.\n");
}

}  // namespace burstlet::kube::test
