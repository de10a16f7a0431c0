// Environment files: the kubelet's syntax, its errors, and bounds.
#include "provider/translate/env_file.h"

#include <catch2/catch.hpp>

#include <vector>

namespace burstlet::provider {
namespace {

std::string Value(const std::string& text, const std::string& key = "KEY") {
  const auto value = EnvFileValue(text, key);
  return value.ok() ? *value : "error: " + std::string(value.status().message());
}

}  // namespace

TEST_CASE("a variable of an environment file is found and its value is taken as it is", "[env_file]") {
  CHECK(Value("KEY='value'\n") == "value");
  CHECK(Value("KEY='value'") == "value");
  CHECK(Value("  \t KEY='a b\\n $HOME \"q\" #x'  # comment\n") == "a b\\n $HOME \"q\" #x");
  CHECK(Value("# c\n\n   \t\nOTHER='1'\nKEY='2'\nKEY='3'\n") == "2");
  CHECK(Value("KEY='one\ntwo\n\nthree'\n") == "one\ntwo\n\nthree");
  CHECK(Value("KEY='one\r\ntwo'\r\n") == "one\ntwo");
  CHECK(Value("OTHER='it\nKEY=x\n'\nKEY='y'\n") == "y");
  CHECK(Value("KEY=''\n") == "");
  CHECK(Value("KEY= 'value'\n") == "");  // what a shell does
  CHECK(Value("OTHER= 'x\nKEY='1'\n") == "1");
  CHECK(Value("") == "");
  CHECK(Value("OTHER='1'\n") == "");
  CHECK(Value("A B='1'\nKEY='2'\n") == "2");
}

TEST_CASE("a malformed environment file names the line", "[env_file]") {
  const std::string at = "error: invalid environment variable format at line ";
  CHECK(Value("A='1'\nKEY\n") == at + "2: missing '='");
  CHECK(Value("='1'\n") == at + "1: empty variable name");
  CHECK(Value("  ='1'\n") == at + "1: empty variable name");
  CHECK(Value("KEY ='1'\n") == at + "1: whitespace before '=' is not allowed");
  CHECK(Value("KEY=1\n") == at + "1: value must be enclosed in single quotes");
  CHECK(Value("KEY=\"1\"\n") == at + "1: value must be enclosed in single quotes");
  CHECK(Value("KEY=\n") == at + "1: value must be enclosed in single quotes");
  CHECK(Value("KEY='1' x\n") == at + "1: unexpected content after closing quote");
  CHECK(Value("\nKEY='1\n2\n") == at + "2: unclosed single quote");
  // What comes after the key's value is not looked at.
  CHECK(Value("KEY='1'\nwrong\n") == "1");
}

TEST_CASE("a line of an environment file is bounded", "[env_file]") {
  const std::string longest(kMaxEnvFileLine - 7, 'x');
  CHECK(Value("KEY='" + longest + "'\n") == longest);
  CHECK_THAT(Value("KEY='" + longest + "x'\n"), Catch::Contains("line too long"));
  CHECK_THAT(Value("KEY='" + std::string(kMaxEnvFileLine, 'x')), Catch::Contains("line too long"));
}

}  // namespace burstlet::provider
