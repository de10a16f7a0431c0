// A lock that a killed agent's children may hold for a moment longer.
#include "sandbox/os/lock_file.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"

namespace burstlet::sandbox {
namespace {

using std::chrono::milliseconds;

struct Folder {
  Folder() { REQUIRE(::mkdtemp(path) != nullptr); }
  ~Folder() {
    ::unlink(file().c_str());
    ::rmdir(path);
  }
  std::string file() const { return absl::StrCat(path, "/lock"); }
  char path[32] = "/tmp/burstlet-lock-XXXXXX";
};

}  // namespace

TEST_CASE("a file is held by one at a time, for as long as it is open", "") {
  const Folder folder;
  auto first = LockFile(folder.file(), milliseconds(0));
  REQUIRE(first.ok());
  const auto second = LockFile(folder.file(), milliseconds(1));
  CHECK(absl::IsFailedPrecondition(second.status()));
  CHECK(std::string(second.status().message()) == folder.file() + " is held by another process");
  first->Reset();
  CHECK(LockFile(folder.file(), milliseconds(0)).ok());
  CHECK(absl::IsNotFound(LockFile(absl::StrCat(folder.path, "/none/lock"), milliseconds(0)).status()));
}

TEST_CASE("a lock is waited for while a child of its dead holder still has it", "") {
  const Folder folder;
  auto first = LockFile(folder.file(), milliseconds(0));
  REQUIRE(first.ok());
  int go[2];
  REQUIRE(::pipe(go) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char word = 0;
    ::_exit(::read(go[0], &word, 1) == 1 ? 0 : 1);
  }
  first->Reset();
  CHECK(absl::IsFailedPrecondition(LockFile(folder.file(), milliseconds(1)).status()));
  // It lets go while the other waits, or before: either way it is had.
  REQUIRE(::write(go[1], "x", 1) == 1);
  CHECK(LockFile(folder.file(), std::chrono::minutes(1)).ok());
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  ::close(go[0]);
  ::close(go[1]);
}

}  // namespace burstlet::sandbox
