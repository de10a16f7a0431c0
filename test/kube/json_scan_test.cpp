// Slices of JSON text: the guard before the parser, and the reflector's way into watch events.
#include "kube/json_scan.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace burstlet::kube {
namespace {

using Members = std::vector<std::pair<std::string, std::string>>;

Members MembersOf(std::string_view text) {
  Members members;
  const auto status = VisitJsonMembers(text, [&](std::string_view key, std::string_view value) {
    members.emplace_back(key, value);
    return true;
  });
  if (!status.ok()) members.emplace_back("error", status.message());
  return members;
}

std::vector<std::string> ElementsOf(std::string_view text) {
  std::vector<std::string> elements;
  const auto status = VisitJsonElements(text, [&](std::string_view value) {
    elements.emplace_back(value);
    return true;
  });
  if (!status.ok()) elements.push_back("error");
  return elements;
}

TEST_CASE("members and elements come as raw slices", "[json]") {
  CHECK(MembersOf(R"( {"a" : 1 , "b":{"c":"}"},"d":[1,"]"],"e":"\"x\\"} )") ==
        Members{{"a", "1"}, {"b", R"({"c":"}"})"}, {"d", R"([1,"]"])"}, {"e", R"("\"x\\")"}});
  CHECK(MembersOf("{}").empty());
  CHECK(ElementsOf(R"([1, {"a":[]} ,"x",null])") == std::vector<std::string>{"1", R"({"a":[]})", "\"x\"", "null"});
  CHECK(ElementsOf(" [ ] ").empty());
}

TEST_CASE("a visit ends when it is told to", "[json]") {
  int seen = 0;
  CHECK(VisitJsonElements("[1,2,garbage", [&](std::string_view) { return ++seen < 2; }).ok());
  CHECK(seen == 2);
}

TEST_CASE("broken text is an error, never a crash", "[json]") {
  for (const char* text : {"", "[", "{", "{\"a", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{a:1}", "{\"a\":{]}", "{\"a\\"}) {
    INFO(text);
    const auto members = MembersOf(text);
    CHECK((!members.empty() && members.back().first == "error"));
  }
  CHECK(ElementsOf("[1 2]").back() == "error");
  CHECK(ElementsOf("[1").back() == "error");
}

}  // namespace
}  // namespace burstlet::kube
