// The rows behind PodFieldTable: one line per field of PodSpec (or per subtree that is treated as one).
//
// To flip a field between done and refused, change its one line in supported_fields.cpp and run the tests with
// UPDATE_GOLDEN=1, which rewrites the table in provider/README.md. Threads: any (constant data).
#pragma once

#include <string>
#include <vector>

#include "provider/admission.h"

namespace burstlet::provider {

/// A value of an otherwise supported field that is refused. `value` ends in "*" for all that begin so.
struct RefusedValue {
  std::string path;
  std::string value;
  std::string note;
};
const std::vector<RefusedValue>& RefusedFieldValues();

/// The table of provider/README.md, Markdown; rows that containers and initContainers share are written once.
std::string RenderFieldTable();

}  // namespace burstlet::provider
