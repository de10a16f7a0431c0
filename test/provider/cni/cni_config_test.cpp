// CNI configurations and results as plugins and administrators write them, and as nobody should.
#include "provider/cni/cni_config.h"

#include <catch2/catch.hpp>

#include "provider/cni/cni_result.h"

namespace burstlet::provider {
namespace {

TEST_CASE("a list and a plugin alone are both networks", "[cni]") {
  const auto list = ParseCniConfig("f", R"({"name":"n","cniVersion":"0.4.0","plugins":[{"type":"a"},{"type":"b"}]})");
  REQUIRE(list.ok());
  CHECK(list->plugins.size() == 2);
  CHECK(list->version == "0.4.0");
  const auto alone = ParseCniConfig("f", R"({"name":"n","type":"a","capabilities":{"bandwidth":true}})");
  REQUIRE(alone.ok());
  CHECK(alone->plugins.at(0).capabilities.contains("bandwidth"));
  CHECK(alone->version == "0.1.0");
  CHECK(ParseCniConfig("f", CniConfigJson(*list).Dump()).ok());
}

TEST_CASE("what is wrong with a configuration is told with its file", "[cni]") {
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {"{", "invalid JSON"},
           {R"({"type":"a"})", "name"},
           {R"({"name":"../n","type":"a"})", "name"},
           {R"({"name":"n","plugins":[]})", "plugins"},
           {R"({"name":"n","plugins":[{"type":"../../bin/sh"}]})", "plugins[0].type"},
           {R"({"name":"n"})", "plugins[0].type"}}) {
    const auto config = ParseCniConfig("10-x.conf", text);
    INFO(text << ": " << config.status());
    CHECK(absl::IsInvalidArgument(config.status()));
    CHECK(config.status().message().find("10-x.conf") == 0);
    CHECK(config.status().message().find(why) != std::string::npos);
  }
}

TEST_CASE("versions are compared by their numbers", "[cni]") {
  CHECK(CniVersionAtLeast("1.0.0", 0, 4));
  CHECK(CniVersionAtLeast("1.1.0", 1, 1));
  CHECK_FALSE(CniVersionAtLeast("0.3.1", 0, 4));
  CHECK_FALSE(CniVersionAtLeast("nonsense", 0, 4));
}

TEST_CASE("results of any version give the pod's addresses", "[cni]") {
  const auto of = [](const char* text) { return PodAddressesOf(*cache::ParseJson(text, 1 << 20), "eth0"); };
  const auto old = of(R"({"ip4":{"ip":"10.0.0.5/24"},"ip6":{"ip":"fd00:0:0::5/64"}})");
  REQUIRE(old.ok());
  CHECK(old->addresses == std::vector<std::string>{"10.0.0.5", "fd00::5"});
  CHECK(absl::IsInvalidArgument(of("{}").status()));
  CHECK(absl::IsInvalidArgument(of(R"({"ips":[{"address":"10.0.0.300/24"}]})").status()));
  CHECK(absl::IsInvalidArgument(
      of(R"({"interfaces":[{"name":"cni0"}],"ips":[{"address":"10.0.0.1/24","interface":0}]})").status()));
}

}  // namespace
}  // namespace burstlet::provider
