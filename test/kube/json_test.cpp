// The JSON codec: what the API server sends becomes structs, and structs become what it accepts.
#include "kube/json.h"

#include <catch2/catch.hpp>

namespace burstlet::kube {
namespace {

std::string ErrorOf(const absl::Status& status) { return std::string(status.message()); }

constexpr char kPod[] = R"({
  "apiVersion": "v1", "kind": "Pod",
  "metadata": {"name": "web", "namespace": "default", "uid": "u-1", "resourceVersion": "42",
    "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"app": "web"},
    "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}], "novel": {"a": 1}},
  "spec": {"containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", "echo \"h\u00e9\u0000\""],
      "resources": {"limits": {"cpu": 1, "memory": "64Mi", "example.com/x": 0.1}},
      "ports": [{"containerPort": 80}],
      "livenessProbe": {"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 3},
      "readinessProbe": {"tcpSocket": {"port": 8080}},
      "securityContext": {"privileged": false}, "shiny": true}],
    "volumes": [{"name": "e", "emptyDir": {}}, {"name": "r", "rbd": {"image": "i", "monitors": ["a"]}}],
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "restartPolicy": null, "hostNetwork": true, "terminationGracePeriodSeconds": 0},
  "status": {"phase": "Running", "startTime": "2026-01-02T03:04:06Z"}})";

TEST_CASE("a pod is decoded field by field", "[json]") {
  std::vector<std::string> unknown;
  const auto pod = Decode<Pod>(kPod, &unknown);
  REQUIRE(pod.ok());
  CHECK(pod->metadata.namespace_ == "default");
  CHECK(FormatTime(pod->metadata.creationTimestamp) == "2026-01-02T03:04:05Z");
  CHECK(pod->metadata.labels.at("app") == "web");
  CHECK(pod->metadata.managedFields.text == R"([{"fieldsV1":{"f:spec":{}},"manager":"kubectl"}])");
  REQUIRE(pod->spec.containers.size() == 1);
  const Container& container = pod->spec.containers[0];
  CHECK(container.command[2] == std::string("echo \"h\xC3\xA9\0\"", 11));
  CHECK(container.resources.limits.at("cpu").text == "1");
  CHECK(container.resources.limits.at("example.com/x").text == "0.1");
  CHECK(container.ports[0].containerPort == 80);
  CHECK(container.livenessProbe->httpGet->port.text == "web");
  CHECK(container.readinessProbe->tcpSocket->port.number == 8080);
  CHECK(container.securityContext->privileged == false);
  CHECK_FALSE(container.securityContext->runAsUser.has_value());
  CHECK(pod->spec.volumes[0].emptyDir.has_value());
  CHECK(pod->spec.volumes[1].rbd->text == R"({"image":"i","monitors":["a"]})");
  CHECK(pod->spec.tolerations[0].operator_ == "Exists");
  CHECK(pod->spec.restartPolicy.empty());
  CHECK(pod->spec.hostNetwork);
  CHECK(pod->spec.terminationGracePeriodSeconds == 0);
  CHECK(pod->status.startTime->unix_nanos == 1767323046000000000);
  CHECK(unknown == std::vector<std::string>{"metadata.novel", "spec.containers[0].shiny"});
}

TEST_CASE("what was decoded is encoded to the same again", "[json]") {
  const auto pod = Decode<Pod>(kPod);
  REQUIRE(pod.ok());
  const std::string text = Encode(*pod);
  std::vector<std::string> unknown;
  const auto again = Decode<Pod>(text, &unknown);
  REQUIRE(again.ok());
  CHECK(unknown.empty());
  CHECK(Encode(*again) == text);
}

TEST_CASE("encoding leaves out what is empty, and keeps what must be there", "[json]") {
  ContainerStatus status;
  status.name = "c";
  CHECK(Encode(status) == R"({"name":"c","ready":false,"restartCount":0,"image":"","imageID":""})");
  status.state.running.emplace();
  status.started = false;
  CHECK(
      Encode(status) ==
      R"({"name":"c","ready":false,"restartCount":0,"image":"","imageID":"","state":{"running":{}},"started":false})");
  Volume volume;
  volume.name = "v";
  volume.emptyDir.emplace();
  CHECK(Encode(volume) == R"({"name":"v","emptyDir":{}})");
  CHECK(Encode(Pod{}) == R"({"metadata":{},"spec":{"containers":[]}})");
  CHECK(Encode(PodCondition{}) == R"({"type":"","status":""})");
  PodStatus empty_time;
  empty_time.startTime = Time{};
  CHECK(Encode(empty_time) == "{}");
}

TEST_CASE("strings are escaped, and bytes that are no UTF-8 are replaced", "[json]") {
  ContainerStateWaiting waiting;
  waiting.message = std::string("a\"\\\n\t\x01\xC3\xA9\xFF\xE2\x82", 11);
  CHECK(Encode(waiting) == "{\"message\":\"a\\\"\\\\\\n\\t\\u0001\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"}");
  waiting.message = "\xF0\x9F\x98\x80 \xED\xA0\x80";
  CHECK(Encode(waiting) == "{\"message\":\"\xF0\x9F\x98\x80 \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"}");
}

TEST_CASE("secrets carry bytes as base64", "[json]") {
  const auto secret = Decode<Secret>(R"({"data":{"k":"AAH/","e":""},"type":"Opaque"})");
  REQUIRE(secret.ok());
  CHECK(secret->data.at("k").data == std::string("\0\x01\xFF", 3));
  CHECK(secret->data.at("e").data.empty());
  CHECK(Encode(*secret) == R"({"metadata":{},"data":{"e":"","k":"AAH/"},"type":"Opaque"})");
  CHECK(ErrorOf(Decode<Secret>(R"({"data":{"k":"%"}})").status()) == "data.k: expected base64");
}

TEST_CASE("a wrong type is an error that names the path", "[json]") {
  const auto error = [](const std::string& text) { return ErrorOf(Decode<Pod>(text).status()); };
  CHECK(error(R"({"spec":{"containers":[{"name":"a"},{"image":1}]}})") ==
        "spec.containers[1].image: expected a string");
  CHECK(error(R"({"spec":{"containers":{}}})") == "spec.containers: expected an array");
  CHECK(error(R"({"spec":{"priority":4294967296}})") == "spec.priority: the number is out of range");
  CHECK(error(R"({"spec":{"priority":1.5}})") == "spec.priority: expected a whole number");
  CHECK(error(R"({"spec":{"hostPID":"yes"}})") == "spec.hostPID: expected true or false");
  CHECK(error(R"({"metadata":{"labels":{"a":1}}})") == "metadata.labels.a: expected a string");
  CHECK(error(R"({"metadata":{"creationTimestamp":"now"}})") ==
        "metadata.creationTimestamp: expected a time as in 2006-01-02T15:04:05Z");
  CHECK(error(R"({"spec":{"overhead":{"cpu":[]}}})") == "spec.overhead.cpu: expected a quantity");
  CHECK(error("[]") == "the object: expected an object");
}

TEST_CASE("malformed, deep and large text is refused", "[json]") {
  for (const char* text :
       {"", "{", "{\"a\":}", "{} x", "nope", "{\"a\":1,}", "{\"a\" 1}", "\"", "{]", "{\"a\":\"\\", "{,}"}) {
    INFO(text);
    CHECK(Decode<Pod>(text).status().code() == absl::StatusCode::kInvalidArgument);
  }
  const std::string deep = std::string(101, '[') + std::string(101, ']');
  CHECK(ErrorOf(Decode<Pod>("{\"x\":" + deep + "}").status()).find("nests too deep") != std::string::npos);
  CHECK(Decode<Pod>("{\"x\":" + std::string(99, '[') + std::string(99, ']') + "}").ok());
  const std::string large = "{\"x\":\"" + std::string(std::size_t{17} << 20, 'a') + "\"}";
  CHECK(ErrorOf(Decode<Pod>(large).status()).find("too large") != std::string::npos);
}

TEST_CASE("the head of an object is read without the rest", "[json]") {
  const auto head = DecodeHead(kPod);
  REQUIRE(head.ok());
  CHECK(head->kind == "Pod");
  CHECK(head->metadata.resourceVersion == "42");
  CHECK_FALSE(DecodeHead("[]").ok());
  CHECK(DecodeHead("{}").value().metadata.name.empty());
}

TEST_CASE("a list is put around items", "[json]") {
  CHECK(EncodeList("PodList", "v1", {"{\"a\":1}", "{}"}) ==
        R"({"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"a":1},{}]})");
}

TEST_CASE("times are RFC 3339 in every zone", "[json]") {
  CHECK(ParseTime("1970-01-01T00:00:00Z").value() == 0);
  CHECK(ParseTime("2026-11-24T07:00:00+02:00").value() == ParseTime("2026-11-24T05:00:00Z").value());
  CHECK(ParseTime("2024-02-29T23:59:59.123456789Z").value() % 1000000000 == 123456789);
  CHECK(ParseTime("0001-01-01T00:00:00Z").value() == 0);
  CHECK(ParseTime("9999-12-31T23:59:59Z").value() > 0);
  CHECK(FormatMicroTime({1767323046000001999}) == "2026-01-02T03:04:06.000001Z");
  CHECK(FormatMicroTime({1767323046000000000}) == "2026-01-02T03:04:06.000000Z");
  CHECK(FormatTime({-1}) == "1969-12-31T23:59:59Z");
  for (const char* text :
       {"", "2026", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+0200", "2026-01-01T00:00:00Zx"}) {
    INFO(text);
    CHECK_FALSE(ParseTime(text).ok());
  }
}

}  // namespace
}  // namespace burstlet::kube
