#include "kube/server/streamed_body.h"

#include <utility>

namespace burstlet::kube {

std::string StreamedBody::Head(const std::string& content_type) const {
  if (!chunked_) return "HTTP/1.0 200 OK\r\nContent-Type: " + content_type + "\r\n\r\n";
  HttpResponse head;
  head.content_type = content_type;
  return SerializeHead(head, true, false);
}

void StreamedBody::Send(Wire& wire, std::string data) const {
  wire.Write(chunked_ ? EncodeChunk(data) : std::move(data));
}

void StreamedBody::End(Wire& wire) const {
  // The API server's log by WebSocket (apimachinery: wsstream.Reader) loses bytes that Go reads together with the end
  // of the body, which it does when the end is in its buffer already: a buffer is filled from one record.
  if (chunked_) wire.WriteApart("0\r\n\r\n");
  if (chunked_ && !surplus_) {
    wire.Finish();
  } else {
    wire.Close();
  }
}

}  // namespace burstlet::kube
