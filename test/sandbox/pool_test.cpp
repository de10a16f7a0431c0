// Wardens kept ready, the network's books, and many pods at once.
#include "test/sandbox/sandbox_fixture.h"

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "metrics/status.h"

namespace burstlet::sandbox::test {
namespace {

/// Records who holds which address; gives out numbers in order.
class FakePodNetwork : public PodNetwork {
 public:
  absl::StatusOr<PodAddresses> Attach(int netns_fd, const std::string& owner) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (netns_fd < 0 || fail_attach) return absl::ResourceExhaustedError("no free address");
    PodAddresses addresses{{absl::StrCat("10.0.0.", ++last_)}, absl::StrCat("veth", last_)};
    owners[owner] = addresses.addresses[0];
    changed_.notify_all();
    return addresses;
  }
  absl::Status Rename(const std::string& owner, const std::string& new_owner) override {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = owners.find(owner);
    if (found == owners.end()) return absl::NotFoundError(owner);
    owners[new_owner] = found->second;
    owners.erase(owner);
    return absl::OkStatus();
  }
  absl::Status Reserve(const std::string& owner, const PodAddresses& addresses) override {
    std::lock_guard<std::mutex> lock(mutex_);
    owners[owner] = addresses.addresses[0];
    return absl::OkStatus();
  }
  absl::Status AddHostPorts(const std::string& owner, const std::vector<SandboxSpec::HostPort>& added) override {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& port : added) {
      if (port.host_port == 1) return absl::AlreadyExistsError("host port 1 is taken");
      ports[owner] = port.host_port;
    }
    return absl::OkStatus();
  }
  absl::Status Detach(const std::string& owner) override {
    std::lock_guard<std::mutex> lock(mutex_);
    owners.erase(owner);
    ports.erase(owner);
    return absl::OkStatus();
  }
  absl::Status SweepInterfaces() override { return absl::OkStatus(); }
  absl::Status Close() override { return absl::OkStatus(); }
  std::vector<std::string> gateway_addresses() const override { return {}; }

  void AwaitOwners(std::size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return owners.size() >= count; });
  }
  std::map<std::string, std::string> Owners() {
    std::lock_guard<std::mutex> lock(mutex_);
    return owners;
  }

  std::map<std::string, std::string> owners;
  std::map<std::string, int> ports;
  bool fail_attach = false;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int last_ = 0;
};

}  // namespace

TEST_CASE("an address is a pool's first, then its pod's, over restarts of the agent, then free", "[root]") {
  SKIP_UNLESS_ROOT;
  FakePodNetwork network;
  Fixture fixture(2, &network);
  network.AwaitOwners(2);
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.host_ports = {{"tcp", "", 8080, 80}};
  Sandbox& sandbox = fixture.Create(pod);
  std::vector<std::string> addresses = sandbox.network().addresses;
  REQUIRE(addresses.size() == 1);
  CHECK(network.Owners()["pod-a"] == addresses[0]);
  CHECK(network.ports["pod-a"] == 8080);
  CHECK(sandbox.NetworkNamespace().ok());
  REQUIRE(sandbox.Start(fixture.ShellSpec("c1", "sleep 1000")).ok());
  fixture.sandboxes.clear();
  fixture.Close();
  // Pooled ones went with the agent, with their addresses.
  CHECK(network.Owners().size() == 1);
  network.owners.clear();
  network.ports.clear();
  fixture.Open();
  REQUIRE(fixture.recovered.size() == 1);
  REQUIRE(fixture.recovered[0].sandbox != nullptr);
  CHECK(fixture.recovered[0].sandbox->network().addresses == addresses);
  CHECK(network.Owners()["pod-a"] == addresses[0]);
  CHECK(network.ports["pod-a"] == 8080);
  CHECK(fixture.recovered[0].sandbox->Remove().ok());
  CHECK(network.Owners().count("pod-a") == 0);
}

TEST_CASE("a pod whose network or host port fails leaves nothing", "[root]") {
  SKIP_UNLESS_ROOT;
  FakePodNetwork network;
  Fixture fixture(0, &network);
  SandboxSpec pod = fixture.PodSpec("pod-a");
  pod.host_ports = {{"tcp", "", 1, 80}};
  absl::Status taken = fixture.driver->Create(pod).status();
  CHECK(absl::IsAlreadyExists(taken));
  CHECK(ReasonOf(taken) == "FailedCreatePodSandBox");
  CHECK(network.Owners().empty());
  network.fail_attach = true;
  CHECK(absl::IsResourceExhausted(fixture.driver->Create(fixture.PodSpec("pod-a")).status()));
  network.fail_attach = false;
  CHECK(fixture.Create(fixture.PodSpec("pod-a")).Remove().ok());
  CHECK(network.Owners().empty());
}

TEST_CASE("forty pods from eight threads at once", "[root]") {
  SKIP_UNLESS_ROOT;
  Fixture fixture(4);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 8; ++worker) {
    threads.emplace_back([&, worker] {
      for (int i = 0; i < 5; ++i) {
        std::string id = absl::StrCat("pod-", worker, "-", i);
        auto sandbox = fixture.driver->Create(fixture.PodSpec(id));
        if (!sandbox.ok()) continue;
        auto first = (*sandbox)->Start(fixture.ShellSpec(id + "-a", "exit 21"));
        auto second = (*sandbox)->Start(fixture.ShellSpec(id + "-b", "sleep 1000"));
        bool exited = false;
        while (first.ok() && !exited) {
          pollfd poll_fd{(*sandbox)->event_fd(), POLLIN, 0};
          if (::poll(&poll_fd, 1, 20000) != 1) break;
          auto events = (*sandbox)->ReadEvents();
          if (!events.ok()) break;
          for (const ContainerState& state : *events) exited = exited || state.exit_code == 21;
        }
        if (exited && second.ok() && (*sandbox)->Remove().ok()) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 40);
}

}  // namespace burstlet::sandbox::test
