#include "metrics/status.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

namespace burstlet {
namespace {

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}

absl::StatusOr<int> Quarter(int value) {
  ASSIGN_OR_RETURN(const int half, Half(value));
  RETURN_IF_ERROR(Half(half));
  return half / 2;
}

}  // namespace

TEST_CASE("the reason nearest to the cause wins and survives annotation", "[status]") {
  absl::Status status = ReasonError(absl::StatusCode::kNotFound, "ErrImagePull", "no such tag");
  status = WithReason(Annotate(status, "pulling web:1"), "CreateContainerError");
  CHECK(ReasonOf(status) == "ErrImagePull");
  CHECK(std::string(status.message()) == "pulling web:1: no such tag");
  CHECK(status.code() == absl::StatusCode::kNotFound);
}

TEST_CASE("an errno keeps its number and maps to a canonical code", "[status]") {
  const absl::Status status = Annotate(ErrnoError(ENOSPC, "write"), "storing a layer");
  CHECK(ErrnoOf(status) == ENOSPC);
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(ErrnoOf(absl::OkStatus()) == 0);
}

TEST_CASE("the macros unwrap values and pass errors on", "[status]") {
  CHECK(Quarter(8).value() == 2);
  CHECK(Quarter(7).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(Quarter(6).status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace burstlet
