#include "kube/server/node_logs.h"

#include <unistd.h>

#include <array>
#include <utility>

#include "kube/server/file_stream.h"

namespace burstlet::kube {
namespace {

constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kBytes[] = "application/octet-stream";
constexpr std::size_t kSniffed = 512;

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '"':
        out.append("&#34;");
        break;
      case '\'':
        out.append("&#39;");
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

std::string EscapePath(std::string_view path) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/$&+,=@!*()";
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (kPlain.find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      out.append(1, '%').append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
    }
  }
  return out;
}

HttpResponse MovedTo(std::string place) {
  HttpResponse response;
  response.status = 301;
  response.content_type.clear();
  response.headers.emplace_back("Location", std::move(place));
  return response;
}

HttpResponse Refusal(const absl::Status& status) {
  const std::string text = std::string(status.message()) + "\n";
  if (absl::IsOutOfRange(status)) return TextResponse(406, text);
  if (absl::IsPermissionDenied(status)) return TextResponse(403, text);
  return ErrorResponse(status);
}

std::string BaseName(const std::string& path) {
  const std::size_t end = path.find_last_not_of('/');
  const std::size_t slash = path.rfind('/', end);
  return path.substr(slash + 1, end - slash);
}

/// Logs are text; what is compressed or binary (wtmp) is told so that nobody shows it on a terminal.
std::string ContentType(const NodeLogSource& source, const std::string& path) {
  if (source.size < 0) return kText;
  if (path.size() > 3 && path.compare(path.size() - 3, 3, ".gz") == 0) return "application/gzip";
  std::array<char, kSniffed> start;
  const ssize_t count = pread(source.fd, start.data(), start.size(), 0);
  for (ssize_t i = 0; i < count; ++i) {
    const auto byte = static_cast<unsigned char>(start[static_cast<std::size_t>(i)]);
    if (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t' && byte != '\f' && byte != 0x1b) return kBytes;
  }
  return kText;
}

void Answer(Exchange& exchange, const NodeLogRequest& request, NodeLogSource source) {
  // As in a file server, the links of a page are relative to a folder whose name ends in a slash.
  const bool as_folder = request.path.empty() || request.path.back() == '/';
  const bool by_path = !request.query.has_value();
  if (source.directory) {
    if (by_path && !as_folder) return exchange.Respond(MovedTo(EscapePath(BaseName(request.path)) + "/"));
    HttpResponse page = TextResponse(200, ListingPage(source.names));
    page.content_type = "text/html; charset=utf-8";
    return exchange.Respond(std::move(page));
  }
  OwnedFd fd(source.fd);
  if (by_path && as_folder) return exchange.Respond(MovedTo("../" + EscapePath(BaseName(request.path))));
  const std::string type = ContentType(source, request.query.has_value() ? request.query->file : request.path);
  StreamFile(exchange, std::move(fd), source.size, type);
}

}  // namespace

std::string ListingPage(const std::vector<std::string>& names) {
  std::string page = "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n";
  for (const std::string& name : names) {
    page.append("<a href=\"").append(EscapePath(name)).append("\">").append(EscapeHtml(name)).append("</a>\n");
  }
  return page + "</pre>\n";
}

void ServeNodeLogs(Exchange& exchange, const Route& route, const NodeLogs& logs, bool queries) {
  if (!logs) return exchange.Respond(TextResponse(405, "logs endpoint is disabled.\n"));
  if (exchange.request().path == "/logs") return exchange.Respond(MovedTo("/logs/"));
  auto request = std::make_shared<NodeLogRequest>();
  request->path = route.rest;
  if (queries) {
    auto query = ParseNodeLogQuery(exchange.request());
    if (!query.ok()) return exchange.Respond(Refusal(query.status()));
    request->query = *std::move(query);
    if (request->query.has_value() && !request->path.empty()) {
      return exchange.Respond(TextResponse(406, "path not allowed in query mode\n"));
    }
  }
  logs(*request, [resume = exchange.Resumer(), request](absl::StatusOr<NodeLogSource> source) {
    // Closed when the client has gone meanwhile.
    const auto owned = std::make_shared<OwnedFd>(source.ok() ? source->fd : -1);
    const auto answer = std::make_shared<absl::StatusOr<NodeLogSource>>(std::move(source));
    resume([request, answer, owned](Exchange& target) {
      if (!answer->ok()) return target.Respond(Refusal(answer->status()));
      (*answer)->fd = owned->Release();
      Answer(target, *request, *std::move(*answer));
    });
  });
}

}  // namespace burstlet::kube
