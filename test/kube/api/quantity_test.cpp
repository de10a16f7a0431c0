// Quantities as the API server reads and writes them (apimachinery pkg/api/resource/quantity_test.go has the same
// rules).
#include "kube/api/quantity.h"

#include <catch2/catch.hpp>
#include <limits>

namespace burstlet::kube {
namespace {

constexpr auto kMax = std::numeric_limits<std::int64_t>::max();

std::int64_t Value(const std::string& text) { return QuantityValue({text}); }
std::int64_t Milli(const std::string& text) { return QuantityMilliValue({text}); }

TEST_CASE("numbers with every suffix have their value", "[quantity]") {
  CHECK(Value("0") == 0);
  CHECK(Value("1") == 1);
  CHECK(Value("1Ki") == 1024);
  CHECK(Value("64Mi") == 64 * 1024 * 1024);
  CHECK(Value("1.5Gi") == 1610612736);
  CHECK(Value("2Ti") == 2199023255552);
  CHECK(Value("1k") == 1000);
  CHECK(Value("5M") == 5000000);
  CHECK(Value("3G") == 3000000000);
  CHECK(Value("1e3") == 1000);
  CHECK(Value("1E3") == 1000);
  CHECK(Value("1E") == 1000000000000000000);
  CHECK(Value("12e-1") == 2);
  CHECK(Value("+5") == 5);
  CHECK(Value("-5Ki") == -5120);
  CHECK(Value(".5k") == 500);
  CHECK(Value("1.") == 1);
  CHECK(Value("007") == 7);
  CHECK(Milli("100m") == 100);
  CHECK(Milli("0.1") == 100);
  CHECK(Milli("2") == 2000);
}

TEST_CASE("what does not divide is rounded up, away from zero", "[quantity]") {
  CHECK(Value("1500m") == 2);
  CHECK(Value("1n") == 1);
  CHECK(Value("-1500m") == -2);
  CHECK(Milli("1u") == 1);
  CHECK(Milli("0.0000000001") == 1);
  CHECK(Milli("1.0001") == 1001);
}

TEST_CASE("numbers too large are capped", "[quantity]") {
  CHECK(Value("9223372036854775807") == kMax);
  CHECK(Value("9223372036854775808") == kMax);
  CHECK(Value("8Ei") == kMax);
  CHECK(Value("1e999999999999") == kMax);
  CHECK(Value("-100E") == -kMax);
  CHECK(Milli("9223372036854775807") == kMax);
  CHECK(Value(std::string(200, '9')) == kMax);
  CHECK(Value("1e-999") == 1);
}

TEST_CASE("text that is no quantity is refused by name", "[quantity]") {
  for (const char* text : {"",   "abc", "1x",   "1KI", "1Kib", " 1", "1 ",  "1 Mi", "1.2.3", "--1",
                           "1e", "1e+", "0x10", "Mi",  ".",    "-",  "1mi", "1K",   "1e1.5", "1,5"}) {
    const auto parsed = ParseQuantity(text);
    INFO(text);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(parsed.status().message()).find(std::string("\"") + text + "\"") != std::string::npos);
  }
  CHECK(ParseQuantity("100m").value().text == "100m");
}

TEST_CASE("numbers become canonical text", "[quantity]") {
  CHECK(QuantityFromMilli(500).text == "500m");
  CHECK(QuantityFromMilli(2000).text == "2");
  CHECK(QuantityFromMilli(1500).text == "1500m");
  CHECK(QuantityFromBytes(64 * 1024 * 1024).text == "64Mi");
  CHECK(QuantityFromBytes(1000).text == "1k");
  CHECK(QuantityFromBytes(1025).text == "1025");
  CHECK(QuantityFromBytes(kMax).text == "9223372036854775807");
  CHECK(QuantityFromCount(110).text == "110");
  CHECK(QuantityFromCount(5000).text == "5k");
  CHECK(QuantityFromCount(0).text == "0");
  CHECK(QuantityFromCount(-3).text == "-3");
}

TEST_CASE("sums keep the format of their first part", "[quantity]") {
  CHECK(AddQuantity({"100m"}, {"900m"}).text == "1");
  CHECK(AddQuantity({"64Mi"}, {"64Mi"}).text == "128Mi");
  CHECK(AddQuantity({"0"}, {"1Gi"}).text == "1Gi");
  CHECK(AddQuantity({""}, {"1Gi"}).text == "1Gi");
  CHECK(SubtractQuantity({"1Gi"}, {"100Mi"}).text == "924Mi");
  CHECK(SubtractQuantity({"1"}, {"1500m"}).text == "-500m");
  CHECK(AddQuantity({"1e3"}, {"1"}).text == "1001");
  CHECK(AddQuantity({"9223372036854775807"}, {"1"}).text == "9223372036854775807");
}

TEST_CASE("comparison is by value, not by text", "[quantity]") {
  CHECK(CompareQuantity({"1000m"}, {"1"}) == 0);
  CHECK(CompareQuantity({"1Gi"}, {"1G"}) == 1);
  CHECK(CompareQuantity({"999Mi"}, {"1Gi"}) == -1);
}

}  // namespace
}  // namespace burstlet::kube
