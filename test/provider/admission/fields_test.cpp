// The table of PodSpec's fields against the API server's schema (testdata/admission/pod_spec_fields.txt, made by
// pod_fields.py), against our own structs, and against provider/README.md.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "kube/api/pod.h"
#include "provider/admission.h"
#include "provider/supported_fields.h"

namespace burstlet::provider {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream in(std::string(BURSTLET_SOURCE_DIR) + "/" + path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::string> SchemaFields() {
  std::istringstream in(ReadFile("test/testdata/admission/pod_spec_fields.txt"));
  std::vector<std::string> fields;
  for (std::string line; std::getline(in, line);) fields.push_back(line);
  return fields;
}

bool Covers(const std::string& row, const std::string& leaf) {
  if (leaf.rfind(row, 0) != 0) return false;
  return leaf.size() == row.size() || leaf[row.size()] == '.' || leaf[row.size()] == '[';
}

/// Every leaf of the structs in kube/api, as the schema writes it.
struct PathCollector {
  std::string path;
  std::vector<std::string>* out;

  template <typename T>
  void operator()(const char* name, const T&, kube::Presence) {
    std::string json_name = name;
    if (json_name.ends_with('_')) json_name.pop_back();
    Add(path + "." + json_name, static_cast<const T*>(nullptr));
  }
  template <typename T>
  void Add(const std::string& at, const std::optional<T>*) {
    Add(at, static_cast<const T*>(nullptr));
  }
  template <typename T>
  void Add(const std::string& at, const std::vector<T>*) {
    Add(at + "[]", static_cast<const T*>(nullptr));
  }
  template <typename T>
  void Add(const std::string& at, const T*) {
    constexpr bool kLeaf = !std::is_class_v<T> || std::is_same_v<T, std::string> || std::is_same_v<T, kube::Quantity> ||
                           std::is_same_v<T, kube::IntOrString> || std::is_same_v<T, kube::RawJson> ||
                           std::is_same_v<T, kube::Time> || std::is_same_v<T, kube::ResourceList> ||
                           std::is_same_v<T, std::map<std::string, std::string>>;
    if constexpr (kLeaf) {
      out->push_back(at);
    } else {
      PathCollector deeper{at, out};
      const T value{};
      VisitFields(deeper, value);
    }
  }
};

std::vector<std::string> StructFields() {
  std::vector<std::string> fields;
  PathCollector collector{"spec", &fields};
  const kube::PodSpec spec;
  VisitFields(collector, spec);
  return fields;
}

}  // namespace

TEST_CASE("every field of PodSpec is in the table, and the table has no others", "[admission]") {
  const std::vector<std::string> schema = SchemaFields();
  REQUIRE(schema.size() > 800);
  for (const std::string& leaf : schema) {
    INFO(leaf);
    const auto covers = [&](const FieldSupport& row) { return Covers(row.path, leaf); };
    CHECK(std::count_if(PodFieldTable().begin(), PodFieldTable().end(), covers) == 1);
  }
  for (const FieldSupport& row : PodFieldTable()) {
    INFO(row.path);
    CHECK(std::any_of(schema.begin(), schema.end(), [&](const auto& leaf) { return Covers(row.path, leaf); }));
    CHECK((row.supported || !row.note.empty()));
  }
}

TEST_CASE("the structs of kube/api hold every field of the schema", "[admission]") {
  const std::vector<std::string> structs = StructFields();
  const std::vector<std::string> schema = SchemaFields();
  for (const std::string& leaf : schema) {
    INFO(leaf);
    CHECK(std::any_of(structs.begin(), structs.end(), [&](const auto& own) { return Covers(own, leaf); }));
  }
  for (const std::string& own : structs) {
    INFO(own);
    CHECK(std::any_of(schema.begin(), schema.end(), [&](const auto& leaf) { return Covers(own, leaf); }));
  }
}

TEST_CASE("refused values belong to fields of the table", "[admission]") {
  const std::vector<std::string> schema = SchemaFields();
  for (const RefusedValue& refused : RefusedFieldValues()) {
    INFO(refused.path);
    CHECK(std::count(schema.begin(), schema.end(), refused.path) == 1);
  }
}

TEST_CASE("the README shows the table", "[admission]") {
  constexpr char kBegin[] = "<!-- fields -->\n";
  constexpr char kEnd[] = "<!-- /fields -->";
  std::string readme = ReadFile("provider/README.md");
  const std::size_t begin = readme.find(kBegin);
  const std::size_t end = readme.find(kEnd);
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  const std::size_t body = begin + sizeof(kBegin) - 1;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    readme.replace(body, end - body, RenderFieldTable());
    std::ofstream(std::string(BURSTLET_SOURCE_DIR) + "/provider/README.md", std::ios::binary) << readme;
    return;
  }
  // Not CHECK on the texts: a difference would print both tables.
  const bool same = readme.substr(body, end - body) == RenderFieldTable();
  INFO("run the tests with UPDATE_GOLDEN=1 to rewrite the table");
  CHECK(same);
}

}  // namespace burstlet::provider
