// What `burstlet ps`, `top` and `exec` make of the agent's answers.
#include <catch2/catch.hpp>

#include "kube/json.h"
#include "kube/server/websocket.h"
#include "provider/cli/client_frames.h"
#include "provider/cli/exec_client.h"
#include "provider/cli/tables.h"

namespace burstlet::provider::test {
namespace {

kube::Pod Pod(const std::string& name) {
  kube::Pod pod;
  pod.metadata.namespace_ = "default";
  pod.metadata.name = name;
  pod.metadata.uid = "uid-" + name;
  pod.metadata.creationTimestamp.unix_nanos = 1'000'000'000'000;
  pod.status.phase = "Running";
  pod.spec.containers.resize(1);
  pod.spec.containers[0].name = "main";
  pod.status.containerStatuses.resize(1);
  pod.status.containerStatuses[0].name = "main";
  pod.status.containerStatuses[0].ready = true;
  pod.status.containerStatuses[0].state.running.emplace();
  return pod;
}

void Wait(kube::ContainerStatus& status, const std::string& reason) {
  status.ready = false;
  status.state = {};
  status.state.waiting.emplace().reason = reason;
}

void End(kube::ContainerStatus& status, int code, const std::string& reason) {
  status.ready = false;
  status.state = {};
  status.state.terminated.emplace().exitCode = code;
  status.state.terminated->reason = reason;
}

struct Messages : kube::WebSocketSink {
  absl::Status OnMessage(std::string_view piece, bool, bool ends) override {
    text.append(piece);
    if (ends) text.append("|");
    return absl::OkStatus();
  }
  void OnPing(std::string_view) override {}
  void OnClose(std::uint16_t) override {}
  std::string text;
};

}  // namespace

TEST_CASE("ps: a pod's state is said as kubectl says it", "[cli]") {
  kube::Pod pod = Pod("web");
  CHECK(PodState(pod) == "Running");
  Wait(pod.status.containerStatuses[0], "CrashLoopBackOff");
  CHECK(PodState(pod) == "CrashLoopBackOff");
  End(pod.status.containerStatuses[0], 3, "Error");
  CHECK(PodState(pod) == "Error");
  End(pod.status.containerStatuses[0], 0, "Completed");
  pod.status.phase = "Succeeded";
  CHECK(PodState(pod) == "Completed");
  pod.status.reason = "Evicted";
  CHECK(PodState(pod) == "Evicted");
  pod.metadata.deletionTimestamp.emplace();
  CHECK(PodState(pod) == "Terminating");

  kube::Pod init = Pod("init");
  init.status.phase = "Pending";
  init.spec.initContainers.resize(2);
  init.spec.initContainers[0].name = "first";
  init.spec.initContainers[1].name = "second";
  init.status.initContainerStatuses.resize(2);
  init.status.initContainerStatuses[0].name = "first";
  init.status.initContainerStatuses[1].name = "second";
  Wait(init.status.containerStatuses[0], "PodInitializing");
  Wait(init.status.initContainerStatuses[1], "PodInitializing");
  init.status.initContainerStatuses[0].state.running.emplace();
  CHECK(PodState(init) == "Init:0/2");
  End(init.status.initContainerStatuses[0], 0, "Completed");
  CHECK(PodState(init) == "Init:1/2");
  Wait(init.status.initContainerStatuses[1], "ImagePullBackOff");
  CHECK(PodState(init) == "Init:ImagePullBackOff");
  // A sidecar that has started holds nobody up.
  init.spec.initContainers[1].restartPolicy = "Always";
  init.status.initContainerStatuses[1].state = {};
  init.status.initContainerStatuses[1].state.running.emplace();
  init.status.initContainerStatuses[1].started = true;
  init.status.phase = "Running";
  CHECK(PodState(init) == "PodInitializing");
  init.status.containerStatuses[0] = Pod("x").status.containerStatuses[0];
  CHECK(PodState(init) == "Running");
}

TEST_CASE("ps: a table of pods, out of the agent's list", "[cli]") {
  kube::Pod web = Pod("web");
  web.status.podIP = "10.88.0.3";
  web.status.containerStatuses[0].restartCount = 12;
  const std::string list = kube::EncodeList("PodList", "v1", {kube::Encode(web), kube::Encode(Pod("a-long-name"))});
  const auto pods = PodsOf(list);
  REQUIRE(pods.ok());
  CHECK(PodTable(*pods, 1130) ==
        "NAMESPACE  NAME         READY  STATUS   RESTARTS  AGE    IP\n"
        "default    a-long-name  1/1    Running  0         2m10s  -\n"
        "default    web          1/1    Running  12        2m10s  10.88.0.3\n");
  CHECK(PodsOf(R"({"kind":"PodList","items":[]})")->empty());
  CHECK(!PodsOf("no json").ok());
  CHECK(ShortDuration(0) == "0s");
  CHECK(ShortDuration(119) == "119s");
  CHECK(ShortDuration(3600 * 5 + 61) == "5h1m");
  CHECK(ShortDuration(86400 * 3 + 7200) == "3d2h");
}

TEST_CASE("top: usage and the stages of a start, the busiest first", "[cli]") {
  const auto usage = UsageOf(
      R"({"pods":[{"podRef":{"uid":"uid-web"},"cpu":{"usageNanoCores":12600000},"memory":{"workingSetBytes":3145728}},
                  {"podRef":{"uid":"uid-idle"},"memory":{"workingSetBytes":1048576}}]})");
  REQUIRE(usage.ok());
  const StartTimelines starts{{"uid-web", {{"volumes", 1.5}, {"started", 10.25}}}};
  const auto again = TimelinesOf(TimelinesJson(starts));
  REQUIRE(again.ok());
  CHECK(*again == starts);
  CHECK(UsageTable({Pod("idle"), Pod("new"), Pod("web")}, *usage, *again) ==
        "NAMESPACE  NAME  STATUS   CPU  MEMORY  START   STAGES\n"
        "default    web   Running  13m  3.0Mi   11.8ms  volumes=1.5ms started=10.2ms\n"
        "default    idle  Running  -    1.0Mi   -\n"
        "default    new   Running  -    -       -\n");
  CHECK(!UsageOf("{").ok());
}

TEST_CASE("exec: the client's frames are what the server reads, of each length", "[cli]") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{125}, std::size_t{126}, std::size_t{65535},
                                 std::size_t{65536}, std::size_t{200000}}) {
    std::string bytes;
    const std::string payload(size, 'x');
    AppendClientFrame(kBinaryFrame, payload, &bytes);
    AppendClientFrame(kBinaryFrame, "next", &bytes);
    kube::WebSocketDecoder decoder;
    Messages messages;
    REQUIRE(decoder.Feed(bytes, messages).ok());
    CHECK(messages.text == payload + "|next|");
  }
}

TEST_CASE("exec: the server's frames are taken in any pieces, and no monsters", "[cli]") {
  std::string bytes;
  const std::string large(70000, 'y');
  for (const std::string& payload : {std::string("a"), std::string(300, 'b'), large, std::string()}) {
    kube::AppendWebSocketFrame(kube::WebSocketOpcode::kBinary, "", payload, &bytes);
  }
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
    ServerFrames frames;
    std::string seen;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      REQUIRE(frames
                  .Feed(std::string_view(bytes).substr(at, piece),
                        [&](std::uint8_t opcode, std::string_view payload) {
                          CHECK(opcode == kBinaryFrame);
                          seen.append(payload).append("|");
                        })
                  .ok());
    }
    CHECK(seen == "a|" + std::string(300, 'b') + "|" + large + "||");
  }
  const auto nothing = [](std::uint8_t, std::string_view) {};
  ServerFrames monster;
  CHECK(!monster.Feed(std::string("\x82\x7f\x00\x00\x00\x00\x10\x00\x00\x00", 10), nothing).ok());
  ServerFrames masked;
  CHECK(!masked.Feed("\x82\x85", nothing).ok());
}

TEST_CASE("exec: the session's last word is the exit code", "[cli]") {
  CHECK(*ExitCodeOf(R"({"metadata":{},"status":"Success"})") == 0);
  CHECK(*ExitCodeOf(R"({"status":"Failure","reason":"NonZeroExitCode",
                        "details":{"causes":[{"reason":"ExitCode","message":"42"}]}})") == 42);
  const auto failed = ExitCodeOf(R"({"status":"Failure","message":"no such file","reason":"InternalError"})");
  CHECK(failed.status().message() == "no such file");
  CHECK(!ExitCodeOf("nonsense").ok());
}

}  // namespace burstlet::provider::test
