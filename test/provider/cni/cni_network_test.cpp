// The network of CNI plugins with plugins of the test's own: scripts that write down how they were called.
#include "provider/cni/cni_network.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "provider/cni/cni_bandwidth.h"
#include "provider/cni/cni_request.h"

namespace burstlet::provider {
namespace {

namespace fs = std::filesystem;

constexpr const char* kList =
    R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"first","mtu":1400,"ipam":{"deep":[1,true,null]}},)"
    R"({"type":"second","capabilities":{"portMappings":true,"bandwidth":false}}]})";

// Answers ADD; the call is kept in $LOG/<number>-<command>-<type>.
constexpr const char* kScript = R"sh(#!/bin/sh
dir=$(dirname "$0")/../calls
n=$(ls "$dir" | wc -l)
{ env | grep ^CNI_ | sort; cat; } > "$dir/$n-$CNI_COMMAND-$(basename "$0")"
failure=$dir/../fail-$CNI_COMMAND-$(basename "$0")
[ ! -e "$failure" ] || { cat "$failure"; exit 1; }
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion":"1.0.0","interfaces":[{"name":"veth7"},
  {"name":"eth0","sandbox":"/x"}],"ips":[{"address":"fd00::7/64","interface":1},{"address":"10.9.0.7/24","interface":1},
  {"address":"10.9.0.1/24","interface":0}]}'
)sh";

class Lab {
 public:
  Lab() {
    std::string name = "/tmp/burstlet-cni-XXXXXX";
    root_ = mkdtemp(name.data());
    for (const char* folder : {"bin", "net.d", "calls", "netns", "records"}) fs::create_directory(root_ + "/" + folder);
    for (const char* plugin : {"first", "second"}) Program(plugin, kScript);
    for (const char* folder : {"", "/netns", "/records"}) {
      inotify_add_watch(files_.get(), (root_ + folder).c_str(), IN_CREATE | IN_DELETE);
    }
  }
  ~Lab() { fs::remove_all(root_); }

  void Program(const std::string& name, const std::string& text) const {
    const std::string path = root_ + "/bin/" + name;
    std::ofstream(path) << text;
    fs::permissions(path, fs::perms::owner_all);
  }
  void Write(const std::string& name, const std::string& text) const { std::ofstream(root_ + "/" + name) << text; }
  void Configure() const { Write("net.d/10-pods.conflist", kList); }

  std::unique_ptr<CniNetwork> Open() const {
    CniNetworkOptions options;
    options.conf_dir = root_ + "/net.d";
    options.bin_dirs = {root_ + "/bin"};
    options.records_dir = root_ + "/records";
    options.netns_prefix = root_ + "/netns/pod-";
    options.plugin_time_limit = std::chrono::seconds(5);
    options.retry = std::chrono::seconds(0);
    options.changed = [fd = told_.get()] { eventfd_write(fd, 1); };
    auto network = CniNetwork::Open(std::move(options));
    INFO(network.status());
    REQUIRE(network.ok());
    return *std::move(network);
  }

  std::vector<std::string> Calls() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(root_ + "/calls")) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string Call(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(root_ + "/calls/" + name).rdbuf();
    return text.str();
  }
  /// Waits for the condition, which is asked again after each change of the folders or of what the network says.
  template <typename Condition>
  bool Within5s(Condition condition) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!condition()) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      std::array<pollfd, 2> polled{{{files_.get(), POLLIN, 0}, {told_.get(), POLLIN, 0}}};
      if (left.count() <= 0 || poll(polled.data(), polled.size(), static_cast<int>(left.count())) < 0) return false;
      std::array<char, 4096> buffer;
      for (const pollfd& one : polled) {
        if (one.revents != 0 && read(one.fd, buffer.data(), buffer.size()) < 0) return false;
      }
    }
    return true;
  }
  bool Empty(const std::string& folder) const { return fs::is_empty(root_ + "/" + folder); }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
  sandbox::UniqueFd files_{inotify_init1(IN_CLOEXEC)};
  sandbox::UniqueFd told_{eventfd(0, EFD_CLOEXEC)};
};

/// A network namespace, or nothing where none can be made.
sandbox::UniqueFd NewNamespace() {
  sandbox::UniqueFd fd;
  std::thread([&fd] {
    if (unshare(CLONE_NEWNET) == 0) fd = sandbox::UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  return fd;
}

sandbox::SandboxSpec Pod(const std::string& id) {
  sandbox::SandboxSpec spec;
  spec.id = id;
  spec.host_ports = {{"tcp", "", 8080, 80}};
  spec.labels = {{"io.kubernetes.pod.name", "web"}, {"io.kubernetes.pod.namespace", "shop"}};
  return spec;
}

#define NAMESPACE_OR_SKIP(name)                         \
  const sandbox::UniqueFd name = NewNamespace();        \
  if (!name.valid()) {                                  \
    WARN("SKIPPED: no network namespaces can be made"); \
    return;                                             \
  }

TEST_CASE("plugins run in order and are taken down backwards", "[cni]") {
  NAMESPACE_OR_SKIP(netns);
  const Lab lab;
  lab.Configure();
  const auto network = lab.Open();
  CHECK(network->NotReady().empty());
  const auto made = network->AttachPod(netns.get(), Pod("uid-1"));
  INFO(made.status());
  REQUIRE(made.ok());
  CHECK(made->addresses == std::vector<std::string>{"10.9.0.7", "fd00::7"});
  CHECK(made->host_interface == "veth7");
  REQUIRE(lab.Calls() == std::vector<std::string>{"0-ADD-first", "1-ADD-second"});
  const std::string first = lab.Call("0-ADD-first"), second = lab.Call("1-ADD-second");
  for (const char* part :
       {"CNI_CONTAINERID=uid-1\n", "CNI_IFNAME=eth0\n", "/netns/pod-uid-1\n",
        "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;", "\"mtu\":1400", "[1,true,null]", "\"name\":\"pods\""}) {
    CHECK(first.find(part) != std::string::npos);
  }
  CHECK(first.find("prevResult") == std::string::npos);
  CHECK(first.find("runtimeConfig") == std::string::npos);
  CHECK(second.find("\"prevResult\":{") != std::string::npos);
  CHECK(second.find(R"("runtimeConfig":{"portMappings":[{"containerPort":80,"hostIP":"","hostPort":8080,)") !=
        std::string::npos);
  CHECK_FALSE(lab.Empty("records"));
  REQUIRE(network->Detach("uid-1").ok());
  REQUIRE(lab.Calls() == std::vector<std::string>{"0-ADD-first", "1-ADD-second", "2-DEL-second", "3-DEL-first"});
  CHECK(lab.Call("3-DEL-first").find("\"prevResult\":{") != std::string::npos);
  CHECK(lab.Call("3-DEL-first").find("/netns/pod-uid-1\n") != std::string::npos);
  CHECK(lab.Empty("records"));
  CHECK(lab.Empty("netns"));
  CHECK(network->Detach("uid-1").ok());
}

TEST_CASE("a plugin's complaint is passed on and what was made is undone", "[cni]") {
  NAMESPACE_OR_SKIP(netns);
  const Lab lab;
  lab.Configure();
  lab.Write("fail-ADD-second", R"({"code":7,"msg":"no room","details":"all 254 are taken"})");
  const auto network = lab.Open();
  const auto made = network->AttachPod(netns.get(), Pod("uid-1"));
  CHECK(
      made.status().message() ==
      "failed to setup network for sandbox \"uid-1\": plugin type=\"second\" failed (add): no room; all 254 are taken");
  CHECK(lab.Calls() == std::vector<std::string>{"0-ADD-first", "1-ADD-second", "2-DEL-second", "3-DEL-first"});
  CHECK(lab.Empty("records"));
  CHECK(lab.Empty("netns"));
}

TEST_CASE("a plugin that is not there is told by name, and nothing of the attempt is left", "[cni]") {
  NAMESPACE_OR_SKIP(netns);
  const Lab lab;
  lab.Write("net.d/10-pods.conflist",
            R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"first"},{"type":"none"},{"type":"second"}]})");
  const auto network = lab.Open();
  const auto made = network->AttachPod(netns.get(), Pod("uid-1"));
  CHECK(made.status().message() ==
        "failed to setup network for sandbox \"uid-1\": failed to find plugin \"none\" in path [" + lab.root() +
            "/bin]");
  CHECK(lab.Calls() == std::vector<std::string>{"0-ADD-first", "1-DEL-second", "2-DEL-first"});
  CHECK(lab.Empty("records"));
  CHECK(lab.Empty("netns"));
  CHECK(network->Detach("uid-1").ok());
}

TEST_CASE("what a plugin has made is owed when its program has gone", "[cni]") {
  NAMESPACE_OR_SKIP(netns);
  const Lab lab;
  lab.Configure();
  const auto network = lab.Open();
  REQUIRE(network->AttachPod(netns.get(), Pod("uid-1")).ok());
  fs::remove(lab.root() + "/bin/first");
  CHECK(absl::IsNotFound(network->Detach("uid-1")));
  CHECK_FALSE(lab.Empty("records"));
  lab.Program("first", kScript);
  CHECK(lab.Within5s([&] { return lab.Empty("records") && lab.Empty("netns"); }));
  CHECK(lab.Calls().back().ends_with("-DEL-first"));
}

TEST_CASE("a plugin that complains of what is gone already does not hold a pod's network up", "[cni]") {
  NAMESPACE_OR_SKIP(netns);
  const Lab lab;
  lab.Configure();
  const auto network = lab.Open();
  REQUIRE(network->AttachPod(netns.get(), Pod("uid-1")).ok());
  lab.Write("fail-DEL-second", R"({"code":3,"msg":"container uid-1 not found"})");
  CHECK(network->Detach("uid-1").ok());
  CHECK(lab.Calls().back().ends_with("-DEL-first"));
  CHECK(lab.Empty("records"));
}

TEST_CASE("limits of bandwidth go to the plugins that keep them, the others are the node's", "[cni]") {
  const auto list = [](const char* capabilities) {
    return *ParseCniConfig(
        "f", std::string(R"({"name":"n","plugins":[{"type":"a"},{"type":"b","capabilities":)") + capabilities + "}]}");
  };
  const sandbox::Bandwidth asked{.ingress = 16'000'000, .egress = 8'000};
  bool tried = false;
  const auto ifb = [&tried](bool has) {
    return [&tried, has] {
      tried = true;
      return has;
    };
  };
  const CniLimits none = ShareLimits(list("{}"), asked, ifb(true));
  CHECK_FALSE(none.plugins.limited());
  CHECK((none.node.ingress == asked.ingress && none.node.egress == asked.egress));
  CHECK_FALSE(tried);
  const CniLimits all = ShareLimits(list(R"({"bandwidth":true})"), asked, ifb(true));
  CHECK((all.plugins.ingress == asked.ingress && all.plugins.egress == asked.egress));
  CHECK_FALSE(all.node.limited());
  const CniLimits half = ShareLimits(list(R"({"bandwidth":true})"), asked, ifb(false));
  CHECK((half.plugins.ingress == asked.ingress && half.plugins.egress == 0));
  CHECK((half.node.ingress == 0 && half.node.egress == asked.egress));
  CHECK(CniRuntimeConfig(sandbox::SandboxSpec(), {}, all.plugins).Dump() ==
        R"({"bandwidth":{"egressBurst":1048576,"egressRate":8000,"ingressBurst":1600000,"ingressRate":16000000}})");
}

TEST_CASE("the node limits what it can see the other end of", "[cni]") {
  NAMESPACE_OR_SKIP(netns);
  const absl::Status refused = LimitByNode(netns.get(), "lo", {.ingress = 8'000, .egress = 0});
  CHECK(absl::IsFailedPrecondition(refused));
  CHECK(refused.message().find("kubernetes.io/ingress-bandwidth: ") == 0);
  CHECK(LimitByNode(netns.get(), "lo", {.ingress = 0, .egress = 8'000}).ok());
}

TEST_CASE("the next agent takes down what no sandbox holds", "[cni]") {
  NAMESPACE_OR_SKIP(netns);
  const Lab lab;
  lab.Configure();
  {
    const auto network = lab.Open();
    REQUIRE(network->AttachPod(netns.get(), Pod("dead")).ok());
    REQUIRE(network->AttachPod(netns.get(), Pod("alive")).ok());
  }
  fs::remove(lab.root() + "/net.d/10-pods.conflist");  // the records know the plugins
  const auto network = lab.Open();
  REQUIRE(network->Reserve("alive", {}).ok());
  REQUIRE(network->SweepInterfaces().ok());
  CHECK(fs::exists(lab.root() + "/records/alive.json"));
  CHECK_FALSE(fs::exists(lab.root() + "/records/dead.json"));
  CHECK(network->Close().ok());
  CHECK(lab.Empty("records"));
}

TEST_CASE("a failed DEL is tried again", "[cni]") {
  NAMESPACE_OR_SKIP(netns);
  const Lab lab;
  lab.Configure();
  const auto network = lab.Open();
  REQUIRE(network->AttachPod(netns.get(), Pod("uid-1")).ok());
  lab.Write("fail-DEL-first", "");
  CHECK_FALSE(network->Detach("uid-1").ok());
  CHECK_FALSE(lab.Empty("records"));
  fs::remove(lab.root() + "/fail-DEL-first");
  CHECK(lab.Within5s([&] { return lab.Empty("records") && lab.Empty("netns"); }));
}

TEST_CASE("a plugin that hangs is killed with its children", "[cni]") {
  const Lab lab;
  lab.Program("slow", "#!/bin/sh\nsleep 1000\n");
  CniRunner runner{{lab.root() + "/bin"}, std::chrono::seconds(0)};
  CniCall call;
  call.command = "ADD";
  call.type = "slow";
  CHECK(absl::IsDeadlineExceeded(runner.Run(call).status()));
  call.type = "none";
  CHECK(absl::IsNotFound(runner.Run(call).status()));
}

TEST_CASE("a configuration is picked up while the agent runs", "[cni]") {
  const Lab lab;
  const auto network = lab.Open();
  CHECK(network->NotReady() ==
        "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin "
        "returns error: cni plugin not initialized");
  lab.Write("net.d/00-broken.conf", "{");
  lab.Configure();
  CHECK(lab.Within5s([&] { return network->NotReady().empty(); }));
  fs::remove(lab.root() + "/net.d/10-pods.conflist");
  CHECK(lab.Within5s([&] { return !network->NotReady().empty(); }));
  fs::remove_all(lab.root() + "/net.d");
  CHECK(lab.Within5s([&] { return fs::exists(lab.root() + "/net.d"); }));
}

}  // namespace
}  // namespace burstlet::provider
