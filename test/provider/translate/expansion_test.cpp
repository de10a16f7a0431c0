#include "provider/translate/expansion.h"

#include <catch2/catch.hpp>

#include "provider/translate/environment.h"

namespace burstlet::provider {

TEST_CASE("references are expanded by the kubelet's rules", "[translate]") {
  const std::map<std::string, std::string> values = {
      {"A", "one"}, {"B", "two"}, {"EMPTY", ""}, {"REF", "$(A)"}, {"A(B", "odd"}};
  struct Row {
    const char* text;
    const char* want;
  };
  const Row rows[] = {
      {"", ""},
      {"plain", "plain"},
      {"$(A)", "one"},
      {"$(A)$(B)-$(A)", "onetwo-one"},
      {"$(UNKNOWN)", "$(UNKNOWN)"},
      {"x$(EMPTY)y", "xy"},
      {"$(REF)", "$(A)"},
      {"$$(A)", "$(A)"},
      {"$$$(A)", "$one"},
      {"$$$$(A)", "$$(A)"},
      {"$", "$"},
      {"a$", "a$"},
      {"$$", "$"},
      {"$(A", "$(A"},
      {"$(", "$("},
      {"$A", "$A"},
      {"$()", "$()"},
      {"$(A(B)", "odd"},
      {"$(A))", "one)"},
      {"$($(A))", "$($(A))"},
      {"\xc3\xa4$(A)\xc3\xa4", "\xc3\xa4one\xc3\xa4"},
      {"$\xc3\xa4", "$\xc3\xa4"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK(ExpandVariables(row.text, values) == row.want);
  }
}

TEST_CASE("the names that a text refers to are told in order", "[translate]") {
  CHECK(ReferencedVariables("$(A)/$$(B)/$(C)/$(A)$(") == std::vector<std::string>{"A", "C", "A"});
}

TEST_CASE("an environment's last value of a name counts", "[translate]") {
  const auto map = EnvironmentMap({"A=1", "B=x=y", "nonsense", "A=2", "C="});
  CHECK(map == std::map<std::string, std::string>{{"A", "2"}, {"B", "x=y"}, {"C", ""}});
}

}  // namespace burstlet::provider
