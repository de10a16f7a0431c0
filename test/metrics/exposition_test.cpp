#include "metrics/exposition.h"

#include <catch2/catch.hpp>
#include <limits>

namespace burstlet {

TEST_CASE("samples in the text format: labels escaped, whole numbers whole, moments in milliseconds") {
  Exposition out;
  out.Family("a_total", "counter", "What it counts.");
  std::string labels;
  AppendLabel(labels, "pod", "x\"y\\z\n");
  std::string more;
  AppendLabel(more, "cpu", "total");
  out.Count(labels, 18446744073709551615u);
  out.Count(labels, more, 7, 1764000000123);
  out.Sample("", more, 0.25);
  out.Sample("", 1e21);
  out.Sample("", std::numeric_limits<double>::infinity());
  out.Sample("", -std::numeric_limits<double>::infinity());
  out.Sample("", std::numeric_limits<double>::quiet_NaN());
  CHECK(out.Take() ==
        "# HELP a_total What it counts.\n# TYPE a_total counter\n"
        "a_total{pod=\"x\\\"y\\\\z\\n\"} 18446744073709551615\n"
        "a_total{pod=\"x\\\"y\\\\z\\n\",cpu=\"total\"} 7 1764000000123\n"
        "a_total{cpu=\"total\"} 0.25\n"
        "a_total 1e+21\n"
        "a_total +Inf\na_total -Inf\na_total NaN\n");
}

}  // namespace burstlet
